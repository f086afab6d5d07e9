// Every operation of the model in plain torch calls: the definition, for any device and precision,
// that gradients come from for free and that fused twins are tested against.
//
// Shapes: B sequences, T positions, C channels, H heads, D = C / H, V vocabulary.
#pragma once

#include "fathom/ops/tensor.h"

namespace fathom {

// x times a dropout site's multipliers (0 or 1 / (1 - p)), of its shape; undefined: no dropout.
Tensor apply_dropout(const Tensor& x, const Tensor& multipliers);

// x (..., in), weight (out, in), bias (out) or undefined -> (..., out).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// Over the last dimension; bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

enum class GeluForm { kExact, kTanh };
Tensor gelu(const Tensor& x, GeluForm form);

// What a query may not see.
struct AttentionMask {
  Tensor blocked;             // bool, (Q, K) or (B, Q, K), true: hidden
  bool may_be_empty = false;  // a query may have no key left
};

// q (B, Q, C), k (B, K, C), v (B, K, C') -> (B, Q, C'): softmax(q k^T / sqrt(D)) v by head over the
// keys that are not blocked. A query without a key gets exact zeros and sends no gradient.
// `multipliers` (B, H, Q, K): dropout of the attention weights, undefined for none.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const Tensor& multipliers);

}  // namespace fathom
