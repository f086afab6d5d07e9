// What a training run says on the console and hands to its recorder.
#pragma once

#include <optional>
#include <string>

#include "fathom/machine/gpu_use.h"
#include "fathom/track/process_use.h"
#include "fathom/track/progress.h"
#include "fathom/track/run_recorder.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/recipe/run_request.h"
#include "fathom/train/trainer.h"

namespace fathom {

// "step 250: train loss 1.9321, val loss 1.9876 (+-0.0123), ...", and the metrics of a model that
// has more of them.
std::vector<std::string> evaluation_lines(const EvalReport& report);

// Belongs to one thread. `--quiet` silences the console, not the recorder; nothing here throws for
// a console or a store that fails.
class Reporter {
 public:
  // `state`: where the run is, kept up to date by its trainer. All must outlive it. What a resumed
  // run had used up before is looked up in the run store. `gpu`: the CUDA device that trains;
  // unset: another one.
  Reporter(const TrainRequest& request, const RunState& state, RunRecorder& recorder,
           std::optional<int> gpu);

  void on_step(const StepReport& report);
  void on_evaluation(const EvalReport& report);
  // Within one, by its name: `done` of so many batches.
  void on_evaluating(const std::string& name, int64_t done, int64_t batches);
  // A text that was shown: what was said of it.
  void on_sample(const std::vector<std::string>& lines);
  void on_stage(const StageRun& stage);
  void on_notice(const std::string& notice);
  // `saved_step`: of the checkpoint that a resume takes; `begun`: anything of the run has changed.
  void interrupted(int64_t saved_step, bool begun);
  void finish();
  bool is_log_step(int64_t step) const { return log_due(log_interval_, step); }

 private:
  std::vector<MetricValue> used_up() const;
  bool is_notebook() const;  // the console has the notebook's lines and nothing else
  void print_notebook_step(const StepReport& report) const;
  bool is_line_due(int64_t step);
  void record(int64_t step, std::vector<MetricValue> values);

  const TrainRequest& request_;
  const RunState& state_;
  RunRecorder& recorder_;
  ProcessMeter meter_;
  std::optional<GpuMeter> gpu_;
  ProgressLine progress_;
  int64_t log_interval_;   // of the present stage
  int64_t steps_of_run_;   // 0: not known
  int64_t last_line_ = 0;  // the step of a log's last line
  double speed_ = 0;
  double clipped_ = 0, steps_ = 0;  // since the last log step
  double seconds_ = 0;              // in steps, since the run began; NaN: not known
  double s_max_ = 0;                // the largest singular value, as reported last; 0: not at all
  int64_t used_up_at_ = -1;         // the step whose used_up() is recorded
  // Keys of loop groups, in the order of their numbers, of a run that has those in its series;
  // empty: it has the keys.
  std::vector<std::string> numbered_groups_;
  EvalReport last_;
};

}  // namespace fathom
