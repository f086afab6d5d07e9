#include "fathom/ops/plain.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>

namespace fathom {

Tensor apply_dropout(const Tensor& x, const DropoutField& field) {
  return field ? x * field(x.sizes(), x) : x;
}

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

Tensor causal_attention(const Tensor& q_BTC, const Tensor& k_BTC, const Tensor& v_BTC,
                        int64_t n_head, const DropoutField& dropout) {
  const int64_t B = q_BTC.size(0), T = q_BTC.size(1), C = q_BTC.size(2), D = C / n_head;
  const auto by_head = [&](const Tensor& x) { return x.view({B, T, n_head, D}).transpose(1, 2); };
  const Tensor q_BHTD = by_head(q_BTC) / std::sqrt(static_cast<double>(D));
  const Tensor scores_BHTT = at::matmul(q_BHTD, by_head(k_BTC).transpose(-2, -1));
  // Every row keeps its diagonal, so -inf never fills a whole row here.
  const Tensor future_TT =
      at::ones({T, T}, q_BTC.options().dtype(at::kBool).requires_grad(false)).triu(1);
  const Tensor weights_BHTT =
      at::softmax(scores_BHTT.masked_fill(future_TT, -std::numeric_limits<double>::infinity()), -1);
  const Tensor heads_BHTD = at::matmul(apply_dropout(weights_BHTT, dropout), by_head(v_BTC));
  return heads_BHTD.transpose(1, 2).reshape({B, T, C});
}

Tensor cross_entropy(const Tensor& logits, const Tensor& targets) {
  const int64_t V = logits.size(-1);
  return at::cross_entropy_loss(logits.reshape({-1, V}), targets.reshape({-1}), {},
                                at::Reduction::None, /*ignore_index=*/-1)
      .view(targets.sizes());
}

}  // namespace fathom
