// What `fathom plan` prints of a plan, as text and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/report/report.h"
#include "fathom/train/recipe/stage_runs.h"

namespace fathom {

struct PlanReport {
  TrainingPlan plan;
  std::string preset;
  std::vector<StageRun> stages;  // of plan.stages, in order
  std::vector<std::string> notices;
  std::vector<Error> mistakes;
};

// What the plan's own words cannot tell: whether each stage fits this machine. Adds mistakes.
void check_fit(PlanReport& report);

// A row a stage.
report::Table stage_table(const PlanReport& plan);
// To standard output, mistakes to standard error.
void print_report(const PlanReport& report);
nlohmann::json to_json(const PlanReport& report);

// The built-in plans, and what of their data is not prepared, to standard output.
void list_plans(bool as_json);

}  // namespace fathom
