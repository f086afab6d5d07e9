// Where a sweep is kept: its recipe in `runs/<sweep>.toml`, and the training plan that it makes
// beside it.
#pragma once

#include <string>

#include "fathom/train/recipe/sweep_recipe.h"

namespace fathom {

std::string recipe_path(const std::string& sweep);  // runs_root()/<sweep>.toml
std::string plan_path(const std::string& sweep);    // runs_root()/<sweep>.plan.json
// The recipe that `word` means: a file whose name ends with .toml, or the name of a sweep that was
// begun, unless a run is called so. Empty: none.
std::string stored_recipe(const std::string& word);

}  // namespace fathom
