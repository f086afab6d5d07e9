#include "fathom/train/gradients.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "fathom/ops/optimizer.h"

namespace fathom {

double gradient_norm(const ParameterSet& parameters) {
  const at::NoGradGuard no_grad;
  double squares = 0;
  for (const Parameter& p : parameters.all())
    if (p.tensor.grad().defined()) squares += squared_norm(p.tensor.grad());
  return std::sqrt(squares);
}

double clip_scale(double norm, double limit) {
  // The 1e-6 is torch's clip_grad_norm_: it keeps the division safe and the numbers comparable.
  const double scale = limit / (norm + 1e-6);
  return limit > 0 && scale < 1 ? scale : 1;
}

}  // namespace fathom
