// The training loop. It knows models as Model (model/model.h), data as DataSet and people as an
// observer; nothing of any experiment.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/data/corpus.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/model/spec/policy.h"
#include "fathom/ops/kept_weights.h"
#include "fathom/parallel/gradient_sum.h"
#include "fathom/parallel/ranks.h"
#include "fathom/train/batches.h"
#include "fathom/train/checkpoint.h"
#include "fathom/train/guards.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/rank_settings.h"
#include "fathom/train/recipe/stage.h"
#include "fathom/train/spectral.h"

namespace fathom {

struct StepSums;

struct StepReport {
  int64_t step = 0;  // optimiser steps done, this one included
  double loss = 0;   // of the answer, mean over the step's batch, before the update
  std::optional<double> objective = {};  // what was optimised; unset: the loss
  double gradient_norm = 0;              // before clipping
  double learning_rate = 0;
  double seconds = 0;
  int64_t tokens = 0;                     // that its passes were given
  double flops = 0;                       // ModelOutput::flops of its passes
  std::map<std::string, double> metrics;  // the model's own, at log steps spectral control's too
  bool clipped = false;                   // its gradient was longer than grad_clip
  std::string stage = {};                 // of the training plan; empty: there is none
  bool updated = true;  // false: a guard left the update out, and only `step` is told
  // What the parts of the objective add to it, by name.
  std::map<std::string, double> parts = {};
};

struct EvalReport {
  int64_t step = 0;
  std::vector<NamedEvaluation> evaluations;  // in the order of the configuration's list
  bool complete = true;                      // false: stopped, and nothing else here counts
  bool best = false;             // by the model's best metric, of the evaluation that decides
  double best_value = 0;         // of that metric so far
  std::string best_metric = {};  // its series

  // One of them. Throws Error if there is none of that name.
  const Evaluation& of(const std::string& name) const;
};

struct TrainerEvents {
  std::function<void(const StepReport&)> step = {};  // of steps whose update was made
  std::function<void(const EvalReport&)> evaluation = {};
  // Within one, by its name: batches of it that are done, and all.
  std::function<void(const std::string& name, int64_t done, int64_t batches)> evaluating = {};
  std::function<void(const std::string&)> notice = {};  // what a guard did, one sentence
  std::function<void(int64_t)> rollback = {};           // back at this step, before its notice
  // Whether a sample is shown before the update that follows these steps, or with `ends` after the
  // last one, which all ranks know, and showing it, which the first does. Not twice at a step, nor
  // where a checkpoint was left after its evaluation.
  std::function<bool(int64_t step, bool ends)> wants_sample = {};
  std::function<void(int64_t step)> sample = {};
  std::function<void(const StageRun&)> stage = {};  // one begins that is not the first
  std::function<bool()> stop = {};                  // asked between passes: save and leave
  // Once, before the run on disk changes for the first time: when its first step has been made, or
  // at once where it goes on as it was.
  std::function<void()> begin = {};
};

enum class RunEnd { kDone, kInterrupted };

struct ResumeOptions {
  bool new_data = false;       // the corpus is another one, and is read from its start
  bool reset_history = false;  // weights and moments stay; step, data and best value begin anew
  bool new_optimizer = false;  // what the optimiser keeps begins anew
};

class Trainer {
 public:
  // `folder` is the run's; empty: nothing is written. The model is one that make_model() would
  // give for the first stage, or any other. The stages agree in whatever shapes the model, and in
  // seed, device and dtype.
  Trainer(RunPlan plan, int64_t vocab_size, std::string folder);
  Trainer(RunPlan plan, int64_t vocab_size, std::string folder, std::unique_ptr<Model> model);
  // Of one stage.
  Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder);
  Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder,
          std::unique_ptr<Model> model);

  // Trains with the trainers of other processes, which are made of the same and called alike: each
  // step's passes are shared between them, pass i to rank i modulo their number, and whatever is
  // decided is decided by all. Before anything else is done with the trainer. Rank 0 alone may have
  // a folder, and events but for `stop`. Throws Error(kUsage) where the passes cannot be shared.
  void join(std::shared_ptr<Ranks> ranks, const RankSettings& settings = RankSettings());
  const Ranks& ranks() const { return *ranks_; }
  const GradientSum* gradient_sum() const { return gradients_.get(); }  // null: alone

  // Where the run's files go from now on.
  void write_to(std::string folder) { folder_ = std::move(folder); }
  // On the other ranks: where they read what rank 0 has written, should the run return to it.
  void read_from(std::string folder) { read_folder_ = std::move(folder); }

  // Goes on from a checkpoint as if there had been no interruption. The configuration stays the
  // trainer's; where it is another than the checkpoint's, or the data is, nothing of the run
  // changes before the first step has been made. After an Error the trainer is of no use.
  void resume(const std::string& checkpoint, ResumeOptions options = {});
  // Takes only the weights, and what they were trained to read. Returns the names of those that
  // were not there: of the experiment's own, and of `begin_anew`.
  std::vector<std::string> start_from(const std::string& checkpoint,
                                      const std::set<std::string>& begin_anew = {});
  // Lays the named weights of a checkpoint over the model's. Throws as load_part() does.
  TakenPart take_part(const std::string& checkpoint, const TensorNames& names);

  // Optimiser steps until the last stage's budget is done, with an evaluation before the first,
  // every eval_interval steps (or validation_interval sequences) and after the last. `last` is
  // saved as of before the first step, once that has been made, before each evaluation or at each
  // save_interval, and at the end, `best` after an evaluation that is the best so far; with
  // eval_only nothing is, but for a run's first `last`. When `stop` says so, `last` is saved as of
  // the last complete step, and so it is before an error of the events, the data or the memory goes
  // on to the caller. A stage that ends before the last one leaves a checkpoint under its name
  // (stage_checkpoint). Throws Error when a guard gives up; the checkpoints are then those before.
  RunEnd run(const TrainerEvents& events);

  // One step, guards included; nothing if it was stopped.
  std::optional<StepReport> train_step(const TrainerEvents& events = {});
  EvalReport evaluate_now(const TrainerEvents& events = {});

  Model& model() { return *model_; }
  const ParameterSet& parameters() const { return model_->parameters(); }
  Optimizer& optimizer() { return *optimizer_; }
  const SpectralControl& spectral() const { return spectral_; }  // of the present stage
  const RunState& state() const { return state_; }
  int64_t saved_step() const { return saved_step_; }  // of what was saved last; -1: nothing yet
  bool has_begun() const { return begun_; }           // TrainerEvents::begin

 private:
  struct Accumulated;  // what the passes of one step summed up
  // What one optimiser step is made of.
  struct StepData {
    std::vector<Batch> batches;   // a forward and backward pass each
    std::vector<int64_t> firsts;  // by batch: which of the step's sequences is its first
    Cursor after;
    int64_t samples = 0, tokens = 0;  // of the passes of all ranks
  };
  // `whole`: the passes of all ranks, not this one's alone.
  StepData draw_step(bool whole = false) const;
  void count_step(const StepData& data);
  const StageRun& stage() const { return plan_.stages[stage_]; }
  double stage_done() const;
  int64_t stage_step() const { return state_.step - state_.stage_start_step; }
  bool is_evaluation_due() const;
  double learning_rate() const;
  void enter_stage(size_t stage);
  void enter_stage_of(const std::string& name);
  void next_stage(const TrainerEvents& events);
  bool accumulate(const StepData& data, const TrainerEvents& events, Accumulated& sums);
  Pass pass(int64_t first_sequence) const;
  ModelOutput forward(const Batch& batch, int64_t first_sequence) const;
  std::map<std::string, double> known_counts(const StepData& data) const;
  bool count_targets(const StepData& data, const TrainerEvents& events, StepSums& step) const;
  bool count_together(const ModelOutput& first, const StepData& data, const TrainerEvents& events,
                      StepSums& step) const;
  void add_up(Accumulated& sums);
  void agree();
  bool is_sharded() const { return rank_settings_.shard_optimizer && !ranks_->is_alone(); }
  bool is_spike(double objective, double gradient_norm) const;
  void handle(const Trouble& trouble, const StepData& data, const TrainerEvents& events);
  void skip_step(const std::string& why, const StepData& data, const TrainerEvents& events);
  void roll_back(const std::string& why, const StepData& data, const TrainerEvents& events);
  std::optional<CheckpointChoice> newest_of_folder() const;
  void take_best_of_folder();
  void show_sample(const TrainerEvents& events, bool ends);
  bool evaluate_one(const EvaluationSpec& spec, const TrainerEvents& events,
                    EvalReport& report) const;
  std::string best_series() const;
  double deciding_value(const NamedEvaluation& decider);
  void begin(const TrainerEvents& events);
  RunEnd train(const TrainerEvents& events);
  bool evaluate_and_save(const TrainerEvents& events, bool last);
  void save(const std::string& name);
  void prune();
  bool save_last(const TrainerEvents& events);
  void save_what_is_left() noexcept;

  std::shared_ptr<Ranks> ranks_ = std::make_shared<Ranks>();
  RankSettings rank_settings_;
  std::unique_ptr<GradientSum> gradients_;  // null: alone
  bool is_saved_ = false;                   // a rank has a folder
  RunPlan plan_;
  size_t stage_ = 0;              // the present one
  RunConfig config_;              // its
  std::optional<Policy> policy_;  // its, where that is another than the model's own
  std::string folder_, read_folder_;
  at::Device device_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  SpectralControl spectral_;
  std::shared_ptr<const DataSet> source_;  // of the present stage
  bool is_timed_ = false;                  // a stage lasts for some minutes
  KeptWeights kept_weights_{64 << 20};     // that a step uses again: shared layers, loops, passes
  RunState state_;
  std::string resumed_from_;        // checkpoint; empty: none
  bool goes_on_unchanged_ = false;  // with the settings and the data of the checkpoint
  bool begun_ = false;
  // Checkpoints that are written, but not yet in their places, by name; null: rank 0 has it.
  std::map<std::string, std::unique_ptr<CheckpointWriter>> waiting_;
  int64_t waiting_step_ = -1;
  int64_t saved_step_ = -1;
  int64_t sampled_step_ = -1;  // whose sample was shown last
  int64_t skipped_in_a_row_ = 0;
  int64_t fruitless_rollbacks_ = 0;  // since a checkpoint was saved
  bool grads_checked_ = false;
  bool suspect_ = false;         // the last loss, gradient or weight was not finite
  bool between_states_ = false;  // an update is being made
};

}  // namespace fathom
