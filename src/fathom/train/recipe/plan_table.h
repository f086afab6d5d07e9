// What `fathom plan` prints of a plan, as text and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/train/recipe/stage_runs.h"

namespace fathom {

struct PlanReport {
  TrainingPlan plan;
  std::string preset;
  std::vector<StageRun> stages;  // of plan.stages, in order
  std::vector<std::string> notices;
  std::vector<Error> mistakes;
};

void print_report(const PlanReport& report);
nlohmann::json to_json(const PlanReport& report);

}  // namespace fathom
