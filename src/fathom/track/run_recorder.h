// What a run leaves beside its checkpoints: its numbers in the run store and for TensorBoard, and
// how it ended. Both are only watched. A store that is locked, a full disk, a folder that is gone
// are noted, what could not be written is kept and tried again, and nothing here throws.
//
//   RunRecorder recorder(options);
//   recorder.add(0, values);                // kept: nothing on disk changes yet
//   recorder.begin(config_toml, {});        // once the first step has been made
//   recorder.add(step, values);
//   recorder.finish(RunStatus::kDone);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/track/progress.h"
#include "fathom/track/run_store.h"

namespace fathom {

struct RunRecorderOptions {
  std::string store;          // run_store_path()
  std::string events_folder;  // <RunFolder::path()>/tensorboard
  std::string run_name, experiment;
  std::function<bool()> is_there = {};  // RunFolder::is_there(): the name is still this run's
  std::function<void(const std::string& sentence)> note = {};  // default: say_note()

  size_t most_values = 1'000'000;  // that wait; beyond, the oldest are dropped, which is said
  int patience_ms = 100;           // how long one attempt may wait for another writer
  double retry_seconds = 2;        // between a failed attempt and the next one
  double last_seconds = 30;        // for the attempts of finish(); less when a signal asks to end
  Clock clock = {};                // default: steady_clock()
};

// Belongs to one thread. No function throws but the constructor (no memory).
class RunRecorder {
 public:
  explicit RunRecorder(RunRecorderOptions options);
  ~RunRecorder();  // without finish() the run stays "running", as that of a killed process
  RunRecorder(const RunRecorder&) = delete;
  RunRecorder& operator=(const RunRecorder&) = delete;

  // From now on things are written, what was kept first. `step`: the run goes on from there; its
  // row is reopened, values of later steps are removed (-1: all of them), and a run that the store
  // does not know is made. Nothing: a new run, whose row replaces one of the same name. Runs that
  // were killed are marked so on the way.
  void begin(const std::string& config_toml, std::optional<int64_t> step) noexcept;
  bool has_begun() const noexcept;

  void add(int64_t step, std::vector<MetricValue> values) noexcept;
  void set_best(const std::string& metric, int64_t step, double value) noexcept;
  // The run goes back to `step`: later values are removed, and the best one if it is later.
  void roll_back(const std::string& config_toml, int64_t step) noexcept;
  void set_status(RunStatus status) noexcept;

  // The last status, and the last attempts; a run that has not begun leaves nothing. False, and a
  // note: something could not be written.
  bool finish(RunStatus status) noexcept;

  size_t waiting_values() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom
