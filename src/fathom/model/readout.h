// From a hidden state to what is asked of its next-token scores.
#pragma once

#include "fathom/model/params.h"
#include "fathom/ops/ops.h"

namespace fathom {

// `n_RC`: after the last norm. For scores themselves take linear(n_RC, head.weight, head.bias).
inline Reading readout(const Tensor& n_RC, const LinearParams& head,
                       const ReadoutRequest& request) {
  return readout(n_RC, head.weight, head.bias, request);
}

}  // namespace fathom
