// The training loop. It knows models as LanguageModel, data as BatchSource and people as an
// observer; nothing of any experiment.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "fathom/data/corpus.h"
#include "fathom/train/batches.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

struct StepReport {
  int64_t step = 0;          // optimiser steps done, this one included
  double loss = 0;           // the objective, mean over the step's batch, before the update
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double seconds = 0;
  int64_t tokens = 0;
  std::map<std::string, double> metrics;  // the model's own
};

struct EvalReport {
  int64_t step = 0;
  Evaluation train, val;
  bool best = false;      // by the model's best metric on val
  double best_value = 0;  // of that metric so far
};

struct TrainerEvents {
  std::function<void(const StepReport&)> step;
  std::function<void(const EvalReport&)> evaluation;
};

class Trainer {
 public:
  // `folder` is the run's; empty: no checkpoints are written.
  Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder);

  // Exactly max_iters optimiser steps, with an evaluation before the first, every eval_interval
  // steps and after the last, on eval_iters * batch_size windows of each split. Each evaluation
  // follows the saving of `last` and precedes that of `best`. Throws Error when loss or gradient is
  // not finite: the weights are those before the step.
  void run(const TrainerEvents& events);

  StepReport train_step();
  EvalReport evaluate_now();

  LanguageModel& model() { return *model_; }
  const CheckpointState& state() const { return state_; }

 private:
  double accumulate_gradients(StepReport& report);
  void save(const std::string& name) const;

  RunConfig config_;
  Corpus corpus_;
  std::string folder_;
  at::Device device_;
  std::unique_ptr<LanguageModel> model_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<BatchSource> source_;
  CheckpointState state_;
};

}  // namespace fathom
