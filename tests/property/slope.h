// A gradient beside differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "model/testing.h"

namespace fathom::property {

using namespace fathom::testing;

// d f along a random direction that moves every entry of the leaves: by their gradients, and by
// central differences of five points. A leaf without a gradient must not matter.
struct Slope {
  double gradient = 0, difference = 0;

  bool agrees() const {
    // Below 1e-3 the rounding of f itself shows in the difference.
    return std::abs(gradient - difference) <= 1e-6 * std::max(std::abs(difference), 1e-3);
  }
};
inline Slope slope_of(const std::function<Tensor()>& f, const std::vector<Parameter>& leaves,
                      unsigned seed) {
  const at::NoGradGuard no_grad;
  Slope slope;
  std::vector<Tensor> directions, kept;
  int64_t n = 0;
  for (const Parameter& p : leaves) {
    directions.push_back(random_normal(p.tensor.sizes(), seed++));
    kept.push_back(p.tensor.clone());
    n += p.tensor.numel();
    if (p.tensor.grad().defined())
      slope.gradient += (p.tensor.grad() * directions.back()).sum().item<double>();
  }
  // The error of these five points falls as h^4; with twice this step it shows where results of
  // programs go through more blocks.
  const double h = 1e-4 / std::sqrt(double(n));
  const auto move = [&](double steps) {
    for (size_t i = 0; i < leaves.size(); ++i)
      Tensor(leaves[i].tensor).copy_(kept[i] + steps * h * directions[i]);
  };
  const auto at_offset = [&](double steps) {
    move(steps);
    const double value = f().item<double>();
    move(0);
    return value;
  };
  slope.difference =
      (8 * (at_offset(1) - at_offset(-1)) - (at_offset(2) - at_offset(-2))) / (12 * h);
  return slope;
}

}  // namespace fathom::property
