// What `fathom describe` and `fathom train --describe` say of a configuration.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/run_state.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// What the configuration is of, and where it has come to; a run's vocabulary is that of its text.
struct DescribedRun {
  std::string name;
  RunState state;
};
// A run in an experiment's place, as it was trained last. Nothing: `name` is no run. Throws Error.
std::optional<DescribedRun> described_run(const std::string& name);

// What is described, `notices`, then parameters by part, FLOPs, memory and settings, to standard
// output. `run`: nothing for a preset, of whose corpus is the vocabulary.
void print_description(const RunConfig& config, const std::vector<std::string>& notices,
                       const std::optional<DescribedRun>& run = {});
// The same as one object.
nlohmann::json description_json(const RunConfig& config,
                                const std::optional<DescribedRun>& run = {});
// A line for each stage.
void print_plan(const TrainingPlan& plan);

}  // namespace fathom
