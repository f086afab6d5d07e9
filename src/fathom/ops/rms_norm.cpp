#include "fathom/ops/rms_norm.h"

#include "fathom/ops/fused.h"

namespace fathom {

Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  if (has_kernels(x)) return fused::rms_norm(x, weight, bias, eps);
  const bool narrow = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  const Tensor wide = narrow ? x.to(at::kFloat) : x;
  const Tensor y = wide * wide.square().mean(-1, /*keepdim=*/true).add(eps).rsqrt() * weight;
  return bias.defined() ? y + bias : y;
}

}  // namespace fathom
