// RMSNorm (Zhang and Sennrich 2019).
#pragma once

#include "fathom/ops/tensor.h"

namespace fathom {

// x / sqrt(mean of its squares + eps) * weight + bias over the last dimension; bias may be
// undefined. Narrow types are computed in single precision.
Tensor rms_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

}  // namespace fathom
