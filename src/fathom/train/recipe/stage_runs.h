// From a training plan as it is written to stages that can be trained: every setting resolved, all
// data open, everything that can be wrong told before the first step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/train/recipe/data_places.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// The corpora of a configuration's `dataset`, of one tokenizer, both splits of each longer than a
// window. What is worth saying of them goes to `notices`. `data` opens them: of a run that goes on,
// its own.
std::vector<Corpus> open_data(const RunConfig& config, std::vector<std::string>& notices,
                              const RunData& data = {});

struct ResolvedPlan {
  std::vector<StageRun> stages;  // in order; one with a mistake may lack its data
  std::vector<std::string> notices;
  std::vector<Error> mistakes;  // as the plan has them, "the stage a: ..."
};

// Each stage is `base`, which is resolved, with its overrides; its max_iters are the steps that its
// budget comes to, as far as that is known.
// A corpus that several stages name is opened once. All corpora have the same tokenizer.
ResolvedPlan look_over(const TrainingPlan& plan, const RunConfig& base, const RunData& data = {});

// The same, where the first mistake is thrown (Error(kUsage) and what opening data throws).
std::vector<StageRun> resolve_plan(const TrainingPlan& plan, const RunConfig& base,
                                   std::vector<std::string>& notices, const RunData& data = {});

// The plan with all that differs between its stages spelled out in each of them, so that the same
// stages come of it over the configuration of any stage as over `base`. What a checkpoint keeps.
TrainingPlan completed(const TrainingPlan& plan, const RunConfig& base,
                       const std::vector<StageRun>& stages);

// Keys that every stage sets, and whose value in the run's own configuration has no effect.
std::vector<std::string> keys_of_every_stage(const TrainingPlan& plan);

// What of a stage is known before it is trained. Windows of text are all alike: of them everything
// is, unless it lasts for some minutes. Rows have the length they have, and are estimated.
struct Forecast {
  bool is_estimate = false;
  std::optional<int64_t> epoch;  // samples of one
  std::optional<int64_t> steps, tokens, evaluations;
  double first_rate = 0;            // learning rate of the first step
  std::optional<double> last_rate;  // and of the last
};
Forecast forecast(const StageRun& stage);

}  // namespace fathom
