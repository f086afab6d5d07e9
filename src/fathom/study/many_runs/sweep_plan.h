// What a sweep has before it: its runs and how far each of them is.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_request.h"
#include "fathom/train/recipe/sweep_recipe.h"

namespace fathom {

enum class RunNow { kNew, kUnfinished, kComplete };

struct PlannedRun {
  SweepRun run;
  RunNow now = RunNow::kNew;
  double tokens = 0, flops = 0;  // of the whole run; 0: not known

  // What `fathom train` is given: words of the run, or to go on with it.
  std::vector<std::string> words() const;
};

struct SweepPlan {
  SweepRecipe recipe;
  std::string text;  // of the recipe, as it will be kept
  std::vector<PlannedRun> runs;

  size_t count(RunNow now) const;
};

// Reads the recipe and checks every run that is not complete as `fathom train` would; nothing of
// the sweep or a run changes. Throws Error(kUsage) for what any of them refuses, for a run that
// another process holds, and for one that is there already and is not this sweep's, or was begun
// under other settings.
// `recipe_file` may be the name of a sweep that was begun; `parse` makes a request of the words of
// `fathom train`, nothing where such a run is complete.
using ParseTraining =
    std::function<std::optional<TrainRequest>(const std::vector<std::string>& words)>;
SweepPlan plan_sweep(const std::string& recipe_file, const ParseTraining& parse);

// The commands, what is done, and what is left in tokens, FLOPs and, by the speed of earlier runs,
// hours.
std::string described(const SweepPlan& plan);

}  // namespace fathom
