// Attention of a block as it is computed: projections, and what the context is asked for. What the
// kinds are is AttentionSpec's to say.
#pragma once

#include <memory>

#include "fathom/model/spec/attention_spec.h"
#include "fathom/model/walk/part.h"

namespace fathom {

class AttentionContext;
class Rows;

struct AttentionParams {
  LinearParams in;   // (3C, C) in the order q, k, v, as far as the spec has a map for each
  LinearParams out;  // (C, width of the heads); undefined without an output projection

  template <class F>
  void each(const F& f) {
    in.each(f);
    out.each(f);
  }
};

void bind(const AttentionSpec& spec, const PartPlace& place, NamedTensors& tensors, Params& params);

// Queries of `x_RC`, keys of `keys_RC`, values of `values_RC`, which may be one tensor.
Tensor run_attention(const AttentionSpec& spec, const AttentionParams& params, int slot,
                     const Tensor& x_RC, const Tensor& keys_RC, const Tensor& values_RC,
                     AttentionContext& context);

// Keys and values alone, of rows that ask nothing: the context's next call at the slot sees them.
void put_keys(const AttentionSpec& spec, const AttentionParams& params, int slot,
              const std::shared_ptr<const Rows>& rows, const Tensor& keys_RC,
              const Tensor& values_RC, AttentionContext& context);

}  // namespace fathom
