// The folder of a run, `<runs root>/<name>/`: config.toml, data.json, checkpoints/, tensorboard/,
// and where a launcher has a name for what it starts, launch.txt (train/recipe/launched_run.h). Its
// numbers are in the run store (track/run_store.h) under the same name.
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

// The folder that holds the run at `path` becomes runs_root(), of this process and of those that it
// starts, as FATHOM_RUNS makes it; the run's name. Refuses what is no run, as one that goes on with
// a run does.
std::string enter_runs_of(const std::string& path);

// Refuses what is not 1 to 128 of letters, digits, `-`, `_` and `.`, what begins with `-` or `.`,
// and the run store's own files. A name that passes is never a path.
void check_run_name(const std::string& name);

// "preset-20260131-142530", the time in UTC, with "-2", "-3", ... behind it if that is taken.
// Characters of `preset` that a name may not hold become `-`. Creates nothing.
std::string default_run_name(const std::string& preset, std::time_t now = std::time(nullptr));

// What stands at the path of a run's folder.
enum class FolderUse {
  kFree,      // nothing, or an empty folder
  kLeftOver,  // of a start that ended before its first checkpoint; nobody holds it
  kHeld,      // a process holds it
  kRun,       // a run, with checkpoints or with files that only a run that got further has
  kOther,     // something else
};
FolderUse folder_use(const std::string& path);  // looks, and changes nothing

// Whether a process holds the run's folder; also where that cannot be known. Not when it is gone.
bool is_held(const std::string& folder);

// A run's folder, held for as long as the object lives: nobody else claims, resumes or clears it,
// and whatever becomes of its name, path() leads to this one. The hold ends with the process,
// however that ends. Every function but abandon() throws Error; "refuses" is ErrorKind::kUsage.
class RunFolder {
 public:
  // For a new run: creates the folder, its parents and an empty checkpoints/ in it. Of several
  // processes that claim the same folder at once, one succeeds. An empty folder is taken, also
  // through a link, and what is left over from a failed start is cleared away first. Refuses all
  // else.
  static RunFolder claim(const std::string& path);
  // The same, or the first of path-2, path-3, ... that can be claimed: for a name that nobody has
  // asked for.
  static RunFolder claim_free(const std::string& path);
  // For a resume. The folder must exist; refuses one that another process holds.
  static RunFolder open(const std::string& path);
  // For --force: what is there as it is, until clear(), or as claim() where there is nothing.
  // Refuses what does not look like a run, and what another process holds.
  static RunFolder replace(const std::string& path);

  ~RunFolder();
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;

  // "/proc/self/fd/N" (base/held_path.h): to work with, not to be shown. When the folder has been
  // removed, what is written below it fails.
  const std::string& path() const { return path_; }
  const std::string& name() const { return name_; }  // as given to claim() or open()
  std::string run_name() const;                      // its last part
  bool is_there() const;  // name() leads to this folder, not to nothing or another one
  bool took_left_over() const { return took_left_over_; }

  // Removes all that is in it and makes an empty checkpoints/; folder and hold stay, and unless
  // `written_too` checkpoints that are being written. Where checkpoints/ is a link, it stays one,
  // and checkpoints are removed where it leads.
  void clear(bool written_too = false);
  // Undoes claim() for a run that ends before its first checkpoint. Nothing happens when there is
  // one, or when claim() did not make this object.
  void abandon() noexcept;

 private:
  RunFolder(const std::string& name, int folder);
  static RunFolder hold(const std::string& name);
  bool claim_contents();

  std::string name_, path_;
  int folder_ = -1, lock_ = -1;  // descriptors
  bool made_ = false;            // the folder itself
  bool claimed_ = false, took_left_over_ = false;
};

// Names of all runs that have a folder, the newest (last changed) first.
std::vector<std::string> run_names();

// Folder of an existing run, for the verbs that read or resume one: a name below runs_root(), or
// else the path of a run's folder. Refuses an unknown one and names the nearest and the newest, or
// the run that it lies in. `takes_checkpoint`: whoever asks has the key `checkpoint`.
std::string resolve_run(const std::string& name_or_path, bool takes_checkpoint = false);

}  // namespace fathom
