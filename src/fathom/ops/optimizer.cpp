#include "fathom/ops/optimizer.h"

#include <cmath>

#include "fathom/ops/newer_libtorch.h"
#include "fathom/ops/ops.h"

namespace fathom {
namespace {

bool one_behind_the_other(const Tensor& x) {
  return has_kernels(x) && x.is_contiguous();
}

}  // namespace

double squared_norm(const Tensor& x) {
  if (one_behind_the_other(x)) return sum_of_squares(x.data_ptr<float>(), x.numel());
  return std::pow(x.norm().item<double>(), 2);
}

void adamw(const AdamWStep& s, const Tensor& w, const Tensor& m, const Tensor& v) {
  Tensor g = w.grad();
  if (one_behind_the_other(w) && has_kernels(g)) {
    g = g.contiguous();
    adamw(s, w.data_ptr<float>(), g.data_ptr<float>(), m.data_ptr<float>(), v.data_ptr<float>(),
          w.numel());
    for (const Tensor& t : {w, m, v}) t.unsafeGetTensorImpl()->bump_version();
    return;
  }
  if (newer::adamw(s, w, g, m, v)) return;
  if (s.gradient_scale != 1) g = g * s.gradient_scale;
  if (s.keep != 1) w.mul_(s.keep);
  m.mul_(s.beta1).add_(g, 1 - s.beta1);
  v.mul_(s.beta2).addcmul_(g, g, 1 - s.beta2);
  const Tensor root = (v.sqrt() / s.root).add_(s.eps);
  w.addcdiv_(m, root, -s.step_size);
}

}  // namespace fathom
