// The operations of ops.h in plain torch calls: the definitions, for any device and precision, that
// gradients come from for free.
#pragma once

#include "fathom/ops/ops.h"

namespace fathom::plain {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);
Tensor gelu(const Tensor& x, GeluForm form);
Tensor mlp(const Tensor& x, const MlpWeights& weights, GeluForm form);
// What a mask says, as a matrix: bool, true: not seen. (B, Q, K), or (Q, K) if all sequences have
// the same.
Tensor blocked_pairs(const AttentionMask& mask, at::Device device);
// `multipliers` (B, H, Q, K): dropout of the attention weights, undefined for none.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const Tensor& multipliers);
Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request);

}  // namespace fathom::plain
