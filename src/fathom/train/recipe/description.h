// What `fathom describe` and `fathom train --describe` say of a configuration.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// Parameters by part, FLOPs, memory and settings, to standard output; `notices` come first.
// `vocabulary`: of the text, where a run knows it; 0: that of the configured corpus.
void print_description(const RunConfig& config, const std::vector<std::string>& notices,
                       int64_t vocabulary = 0);
// The same as one object.
nlohmann::json description_json(const RunConfig& config, int64_t vocabulary = 0);
// A line for each stage.
void print_plan(const TrainingPlan& plan);

}  // namespace fathom
