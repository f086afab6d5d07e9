// Every operation of the model in plain torch calls: the definition, for any device and precision,
// that gradients come from for free and that fused twins are tested against.
//
// Shapes: B sequences, T positions, C channels, H heads, D = C / H, V vocabulary.
#pragma once

#include <functional>

#include "fathom/ops/tensor.h"

namespace fathom {

// Multipliers of a dropout site, of the given shape; an empty function is no dropout.
using DropoutField = std::function<Tensor(at::IntArrayRef shape, const Tensor& like)>;

Tensor apply_dropout(const Tensor& x, const DropoutField& field);

// x (..., in), weight (out, in), bias (out) or undefined -> (..., out).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// Over the last dimension; bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

enum class GeluForm { kExact, kTanh };
Tensor gelu(const Tensor& x, GeluForm form);

// q, k, v (B, T, C) -> (B, T, C). Position t sees positions 0..t; softmax(q k^T / sqrt(D)) v by
// head, dropout on the attention weights.
Tensor causal_attention(const Tensor& q_BTC, const Tensor& k_BTC, const Tensor& v_BTC,
                        int64_t n_head, const DropoutField& dropout);

// -ln softmax(logits)[target], 0 where the target is -1. logits (..., V), targets (...) int64.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets);

}  // namespace fathom
