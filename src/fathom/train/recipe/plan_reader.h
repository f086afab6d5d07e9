// The two forms of a training plan, as a tree of JSON. For training_plan.cpp, which says what they
// are.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "fathom/train/recipe/training_plan.h"

namespace fathom {

// `file` is for errors, and the plan's name where it does not say one. Throws Error(kUsage).
WrittenPlan plan_from_json(const nlohmann::ordered_json& tree, const std::string& file);
// A tree in no order: only the first form, whose steps are a list.
WrittenPlan plan_from_json(const nlohmann::json& tree, const std::string& file);

}  // namespace fathom
