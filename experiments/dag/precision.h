// The precision in which numbers are computed.
#pragma once

#include "fathom/ops/tensor.h"

namespace fathom::dag {

// x, in single precision where it came in half of it: neither a log of 40 nor a difference of two
// close numbers fits into eight bits.
inline Tensor widened(const Tensor& x) {
  const bool narrow = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  return narrow ? x.to(at::kFloat) : x;
}

}  // namespace fathom::dag
