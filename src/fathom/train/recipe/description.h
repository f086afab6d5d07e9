// What `fathom describe` and `fathom train --describe` say of a configuration.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// Parameters by part, FLOPs, memory and settings, to standard output; `notices` come first.
void print_description(const RunConfig& config, const std::vector<std::string>& notices);
// The same as one object.
nlohmann::json description_json(const RunConfig& config);
// A line for each stage.
void print_plan(const TrainingPlan& plan);

}  // namespace fathom
