// What a run evaluates, as its configuration says it: a list of names, each with a split and with
// what one pass does otherwise than the model's own policy.
//
//   train; val
//   train; val; strict: halt_threshold=0.99, batches=50; at_once: split=val, halt_threshold=0
//   train; val; loops_1: max_loops=1; loops_30: max_loops=30
//
// max_loops is here how often every loop group runs; loop_counts says it group by group. `drawn:
// loop_counts_eval=sampled` has counts as training draws them. All of these run so often: nobody
// leaves a loop before, unless the line says something of a rule by which they do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fathom/model/spec/model_config.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct EvaluationSpec {
  std::string name;                // of its series: eval/<name>/loss
  std::string split = "val";       // unless it is said; of a name that is a split, that one
  std::optional<int64_t> batches;  // unset: eval_iters
  std::vector<std::pair<std::string, std::string>> settings;  // keys that belong to a policy
};

// What `--help` says of the list, and of the line that an evaluation prints.
std::string evaluations_help();

// Throws Error(kUsage) for what is no such list: a name that is there twice or cannot be a series',
// a key that does not belong to a policy, a value that its key refuses, an empty list.
std::vector<EvaluationSpec> parse_evaluations(const std::string& text, const ModelConfig& model);

// The model with the evaluation's settings: the same weights, another policy. Throws Error(kUsage)
// for settings with which no pass can be made.
ModelConfig with_settings(const EvaluationSpec& evaluation, const ModelConfig& model);

// The list without the evaluations that set a key (as it is spelled) which `is_out`; if none is
// left, the usual list. Throws Error(kUsage) for what is no list.
std::string without_keys(const std::string& text,
                         const std::function<bool(const std::string&)>& is_out);

// enable_auto_exit_eval becomes a line of `evaluations`, if it is none yet; false takes it out of a
// list that was given before it. `list` is of the run's configuration; without loops a sentence
// says that it has no effect.
void settle_auto_exit(const FieldList& list, TrainingConfig& training,
                      std::vector<std::string>& notices);

// Which of them decides what the best checkpoint is: the first one of the split val, or else the
// first.
size_t deciding_evaluation(const std::vector<EvaluationSpec>& evaluations);
// And that by the least objective, not by the loss: the model has a head, and its next token's loss
// is not what it is trained on, so that says nothing of what it learns.
bool objective_decides(const ModelConfig& config);

}  // namespace fathom
