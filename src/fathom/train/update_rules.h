// What one step of each optimiser does to one parameter. Another optimiser is a function here, and
// its line in recipe/optimizer_rules.cpp.
#pragma once

#include <string>
#include <vector>

#include "fathom/ops/tensor.h"
#include "fathom/train/recipe/optimizer_config.h"

namespace fathom {

struct Update {
  Tensor w;  // changed in place; it has its gradient
  double gradient_scale = 1;
  const std::vector<Tensor>& state;  // in the order of OptimizerRule::state
  int64_t n = 1;                     // updates of this parameter, this one included
  double rate = 0, weight_decay = 0;
};

using UpdateRule = void (*)(const OptimizerConfig& config, const Update& update);

// `optimizer`: an OptimizerRule's name. Called without a graph.
UpdateRule update_rule(const std::string& optimizer);

}  // namespace fathom
