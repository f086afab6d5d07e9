// From a hidden state to what is asked of its next-token scores.
#pragma once

#include <fmt/format.h>

#include "fathom/model/walk/params.h"
#include "fathom/ops/ops.h"

namespace fathom {

// `n_RC`: after the last norm. For scores themselves take linear(n_RC, head.weight, head.bias).
inline Reading readout(const Tensor& n_RC, const LinearParams& head,
                       const ReadoutRequest& request) {
  return readout(n_RC, head.weight, head.bias, request);
}

// Of the rows with these indices; the others have zeros.
Reading readout_of_some(const Tensor& n_RC, const Tensor& indices, const LinearParams& head,
                        const ReadoutRequest& request);

// The head; a tied one is its token table.
inline void bind(const ReadoutSpec& spec, const PartPlace& place, NamedTensors& tensors,
                 Params& params) {
  if (place.tied_heads)
    params.head[spec.head] = {tensors.at(fmt::format("token_table.{}.weight", spec.head)), {}};
  else
    params.head[spec.head] = tensors.linear(fmt::format("head.{}", spec.head));
}

}  // namespace fathom
