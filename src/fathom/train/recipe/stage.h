// A training plan is a list of stages: settings that hold for a while, and for how long. A run
// without a plan is one stage of max_iters steps. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fathom/data/corpus.h"
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

// What was done so far, of a run or of a stage of it. Counted as it happens.
struct Progress {
  int64_t steps = 0;    // optimiser steps, those that a guard left out included
  int64_t samples = 0;  // windows or rows begun
  int64_t tokens = 0;   // tokens with a target
  double seconds = 0;   // in steps
};

// The part of the budget that is done: 1 or more at its end. `epoch` is the samples of one.
double done(const Budget& budget, const Progress& progress, std::optional<int64_t> epoch);

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

}  // namespace fathom
