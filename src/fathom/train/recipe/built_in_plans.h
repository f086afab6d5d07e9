// LMPlay's curricula by their names, over corpora by the names under which they are prepared here.
#pragma once

#include <string>
#include <vector>

#include "fathom/train/recipe/stage.h"

namespace fathom {

struct BuiltInPlan {
  TrainingPlan plan;
  std::string summary;  // one line
  bool is_ours = true;  // only the name is LMPlay's: what is in it was chosen here
};

const std::vector<BuiltInPlan>& built_in_plans();
const BuiltInPlan* find_built_in_plan(const std::string& name);  // null: there is none

// The corpora that it needs and that are not prepared, each once, in order.
std::vector<std::string> missing_data(const TrainingPlan& plan);

}  // namespace fathom
