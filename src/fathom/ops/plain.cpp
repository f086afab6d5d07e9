#include "fathom/ops/plain.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>

namespace fathom::plain {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? c10::optional<Tensor>(bias) : c10::nullopt);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return at::layer_norm(x, {x.size(-1)}, weight,
                        bias.defined() ? c10::optional<Tensor>(bias) : c10::nullopt, eps);
}

Tensor gelu(const Tensor& x, GeluForm form) {
  return at::gelu(x, form == GeluForm::kExact ? "none" : "tanh");
}

Tensor mlp(const Tensor& x, const MlpWeights& w, GeluForm form) {
  return linear(plain::gelu(linear(x, w.up, w.up_bias), form), w.down, w.down_bias);
}

Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const Tensor& multipliers) {
  const double infinity = std::numeric_limits<double>::infinity();
  const int64_t B = q_BQC.size(0), D = q_BQC.size(2) / n_head;
  const auto by_head = [&](const Tensor& x) {
    return x.view({B, x.size(1), n_head, x.size(2) / n_head}).transpose(1, 2);
  };
  const Tensor q_BHQD = by_head(q_BQC) / std::sqrt(static_cast<double>(D));
  Tensor scores_BHQK = at::matmul(q_BHQD, by_head(k_BKC).transpose(-2, -1));
  Tensor blocked = mask.blocked.dim() == 3 ? mask.blocked.unsqueeze(1) : mask.blocked;
  Tensor weights_BHQK;
  if (mask.may_be_empty) {
    // A row of -inf has no softmax. Its scores stay as they are, finite, and its weights become
    // zero. (A large negative number in their place would spread the weights over all keys.)
    const Tensor empty = blocked.all(-1, /*keepdim=*/true);
    blocked = blocked.logical_and(empty.logical_not());
    weights_BHQK = at::softmax(scores_BHQK.masked_fill(blocked, -infinity), -1);
    weights_BHQK = weights_BHQK.masked_fill(empty, 0);
  } else {
    weights_BHQK = at::softmax(scores_BHQK.masked_fill(blocked, -infinity), -1);
  }
  const Tensor heads_BHQE =
      at::matmul(multipliers.defined() ? weights_BHQK * multipliers : weights_BHQK, by_head(v_BKC));
  return heads_BHQE.transpose(1, 2).reshape({B, q_BQC.size(1), v_BKC.size(2)});
}

}  // namespace fathom::plain
