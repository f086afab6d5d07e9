// The folder of a run, `<runs root>/<name>/`: config.toml, checkpoints/, tensorboard/. Its numbers
// are in the run store (track/run_store.h) under the same name.
//
// A run is never written over: claiming a name works once, and only `--force`, spelled out, removes
// what is there. Every function throws Error; "refuses" below means ErrorKind::kUsage.
#pragma once

#include <ctime>
#include <string>
#include <vector>

namespace fathom {

// Folder of all runs: $FATHOM_RUNS if it is set and not empty, else "runs" in the current folder.
std::string runs_root();
std::string run_folder(const std::string& name);  // runs_root()/name; refuses a bad name

// Refuses what is not 1 to 128 of letters, digits, `-`, `_` and `.`, what begins with `-` or `.`,
// and the run store's own files. A name that passes is never a path.
void check_run_name(const std::string& name);

// "preset-20260131-142530", the time in UTC, with "-2", "-3", ... behind it if that is taken.
// Characters of `preset` that a name may not hold become `-`. Creates nothing.
std::string default_run_name(const std::string& preset, std::time_t now = std::time(nullptr));

// Creates the folder, its parents and an empty checkpoints/ in it. Refuses a folder that holds
// anything. Of several processes that claim the same folder at once, one succeeds.
void claim_run_folder(const std::string& path);

// Held by the process that trains a run, so that nobody else trains, resumes or removes it. It ends
// with the process, however that ends.
class RunLock {
 public:
  // The folder must exist. Refuses when another process holds the lock.
  explicit RunLock(const std::string& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int fd_;
};

// Removes a run's folder with everything in it (`--force`); none there: nothing to do. Refuses a
// folder that does not look like a run (neither config.toml nor checkpoints/ inside), and one that
// is being trained.
void remove_run_folder(const std::string& path);

// Names of all runs that have a folder, the newest (last changed) first.
std::vector<std::string> run_names();

// Folder of an existing run, for the verbs that read or resume one: a name below runs_root(), or
// else the path of a run's folder. Refuses an unknown one and names the nearest and the newest.
std::string resolve_run(const std::string& name_or_path);

}  // namespace fathom
