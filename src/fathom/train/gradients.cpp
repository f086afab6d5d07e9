#include "fathom/train/gradients.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>

#include <cmath>

#include "fathom/ops/optimizer.h"

namespace fathom {

double gradient_norm(const ParameterSet& parameters) {
  const at::NoGradGuard no_grad;
  double squares = 0;
  std::vector<Tensor> elsewhere;  // its numbers are waited for once, not once a parameter
  for (const Parameter& p : parameters.all()) {
    const Tensor& g = p.tensor.grad();
    if (!g.defined()) continue;
    if (g.is_cpu())
      squares += squared_norm(g);
    else
      elsewhere.push_back(g.norm());
  }
  if (!elsewhere.empty())
    squares += at::stack(elsewhere).to(at::kDouble).square().sum().item<double>();
  return std::sqrt(squares);
}

double clip_scale(double norm, double limit) {
  // The 1e-6 is torch's clip_grad_norm_: it keeps the division safe and the numbers comparable.
  const double scale = limit / (norm + 1e-6);
  return limit > 0 && scale < 1 ? scale : 1;
}

}  // namespace fathom
