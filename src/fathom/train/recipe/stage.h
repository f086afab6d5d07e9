// A training plan is a list of stages: settings that hold for a while, and for how long. A run
// without a plan is one stage of max_iters steps. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fathom/data/corpus.h"
#include "fathom/train/recipe/progress.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// How long a stage is. An epoch is every sample of its data once (DataSet::samples), and may be a
// part of one. A stage ends with the first step that reaches its budget; minutes are of training,
// evaluations left out, and alone do not repeat bit by bit.
struct Budget {
  enum class Unit { kSteps, kEpochs, kSamples, kTokens, kMinutes };
  Unit unit = Unit::kSteps;
  double amount = 0;
};
inline bool operator==(const Budget& a, const Budget& b) {
  return a.unit == b.unit && a.amount == b.amount;
}
std::string to_text(const Budget& budget);  // "500 steps", "0.5 epochs"

// The part of the budget that is done: 1 or more at its end. `steps` and `progress` are of its
// stage, `epoch` is the samples of one.
double done(const Budget& budget, int64_t steps, const Progress& progress,
            std::optional<int64_t> epoch);

struct Stage {
  std::string name;
  // Key and value, as on the command line, over the run's configuration; `dataset` among them.
  std::vector<std::pair<std::string, std::string>> overrides;
  Budget budget;
};

struct TrainingPlan {
  std::string name;  // of the file, or the built-in one's
  std::vector<Stage> stages;
};

// A stage as it is trained: what was asked for is resolved, and its data is open.
struct StageRun {
  std::string name;  // empty: the only one of a run without a plan
  RunConfig config;
  Budget budget;
  std::vector<Corpus> corpora;  // one, or the parts of a mixture
};

// A run from its first stage to its last.
struct RunPlan {
  std::vector<StageRun> stages;  // at least one
  // What the stages were made of, as the checkpoint keeps it; null: there is no plan.
  std::shared_ptr<const nlohmann::json> written = {};
};

// A key of training passes that shapes no weights: one of any pass, or how often loops run in them
// and how far gradients go back through them.
bool is_of_training_pass(const Field& field);
// Both models make the same passes with the same weights: no such key differs.
bool pass_alike(const ModelConfig& a, const ModelConfig& b);

// A run without a plan.
RunPlan one_stage(const RunConfig& config, Corpus corpus);

}  // namespace fathom
