// The run store: what every run was, how it ended and all its numbers, in one SQLite file,
// `runs/fathom.db`. Runs are compared by query, from fathom or from the sqlite3 shell.
//
//   RunStore store(run_store_path());
//   const RunHandle run = store.create_run("first", "preset", config_toml);
//   store.add(run, step, values);        // one transaction: all of a step's values or none
//   store.set_status(run, RunStatus::kDone);
//
// Any number of processes may write and read at once (write-ahead log); a writer waits for another
// one up to the busy timeout. What a call has returned from survives a kill of the process; after a
// loss of power the last few calls may be missing, but the file is sound. The write-ahead log needs
// shared memory, so the file must be on a local disk, not on a network file system.
//
// A RunStore belongs to one thread and must not be used on the other side of a fork. Everything
// throws Error(kFailure): locked (StoreLocked), read-only, damaged, disk full, of a newer fathom.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/span.h"
#include "fathom/track/run_folder.h"

namespace fathom {

std::string run_store_path();  // runs_root()/fathom.db

// A killed process cannot say so: its run says kRunning until somebody looks
// (settle_killed_runs()), and its `updated_at` stands still.
enum class RunStatus { kRunning, kDone, kFailed, kInterrupted, kKilled };
const char* status_name(RunStatus status);  // "running", ...

struct RunRecord {
  int64_t id = 0;
  std::string name, experiment;
  std::string config_toml;  // complete, as resolved
  RunStatus status = RunStatus::kRunning;
  double created_at = 0, updated_at = 0;  // seconds since 1970, UTC
  int64_t last_step = -1;                 // highest step that has a value; -1: none yet
  std::string best_metric;                // decided checkpoints/best; empty: none yet
  int64_t best_step = -1;
  std::optional<double> best_value;
};

// Never reused, so a handle to a deleted run cannot write into another one.
struct RunHandle {
  int64_t id = 0;
};

struct MetricValue {
  std::string name;  // "train/loss"
  double value = 0;  // NaN and infinities included
};

struct Point {
  int64_t step = 0;
  double value = 0;
};

// What a run has at one step: a place for each of its metrics, empty where there is no value.
struct StepValues {
  int64_t step = 0;
  std::vector<std::optional<double>> values;
};

struct RunStoreOptions {
  bool read_only = false;        // the file must exist, and nothing in it changes
  int busy_timeout_ms = 10'000;  // how long to wait for another writer
};

// Another process has been writing for longer than the busy timeout.
class StoreLocked : public Error {
 public:
  StoreLocked(const std::string& message, std::string hint);
};

// The run of a handle has been deleted.
class RunVanished : public Error {
 public:
  RunVanished(const std::string& message, std::string hint);
};

// Throws what opening the store at `path` throws (damaged, not fathom's, of a newer fathom). None
// there and one that is locked are no errors.
void check_run_store(const std::string& path);

// RunStore::settle_killed_runs() of the store at `path`, where there is one and it can be done
// within a second.
void settle_killed_runs(const std::string& path) noexcept;

class RunStore {
 public:
  // Creates the file and its folder if there is none (unless read_only).
  explicit RunStore(const std::string& path, RunStoreOptions options = {});
  ~RunStore();
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;

  // Status kRunning. The name must be new; the experiment is the preset's, config_toml complete.
  RunHandle create_run(const std::string& name, const std::string& experiment,
                       const std::string& config_toml);
  // For a resume from a checkpoint of `step`: status kRunning again, with the configuration that it
  // goes on with, and the values of later steps, which will be computed anew, are removed. The run
  // must exist.
  RunHandle reopen_run(const std::string& name, const std::string& config_toml, int64_t step);

  void reopen(RunHandle run, const std::string& config_toml, int64_t step);  // the same

  // A value that the same step and name already have is replaced.
  void add(RunHandle run, int64_t step, Span<const MetricValue> values);
  void set_status(RunHandle run, RunStatus status);
  void set_best(RunHandle run, const std::string& metric, int64_t step, double value);
  bool delete_run(const std::string& name);  // with its values; false if there was none

  // Runs that say kRunning, but whose folder no process holds or is gone, become kKilled. Returns
  // how many.
  int settle_killed_runs();
  // What it would become.
  RunStatus status_now(const RunRecord& record) const;

  void set_busy_timeout(int milliseconds);
  // The file is still the one at its path: neither removed nor replaced.
  bool is_current() const;

  std::optional<RunRecord> find(const std::string& name) const;
  std::vector<RunRecord> runs() const;  // newest first
  // Ordered by step; empty for an unknown run or metric.
  std::vector<Point> series(const std::string& name, const std::string& metric) const;
  // The one of the highest step; nothing where there is none.
  std::optional<Point> last_point(const std::string& name, const std::string& metric) const;
  std::vector<std::string> metric_names(const std::string& name) const;  // sorted

  // `names` are those of metric_names(), and the places of `row.values` are in their order.
  using VisitStep =
      std::function<void(const std::vector<std::string>& names, const StepValues& row)>;
  // Calls `visit` for every step that has a value, in ascending order; never for an unknown run.
  // All calls show the run as of one moment, however long they take and whoever writes meanwhile.
  // `visit` may read from this store, but neither write nor call this.
  void for_each_step(const std::string& name, const VisitStep& visit) const;

 private:
  std::string folder_of(const std::string& name) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom
