#include "fathom/ops/ops.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <atomic>

#include "fathom/kernels/isa.h"
#include "fathom/kernels/random_field.h"
#include "fathom/kernels/units.h"
#include "fathom/ops/autocast.h"
#include "fathom/ops/fused.h"
#include "fathom/ops/newer_libtorch.h"
#include "fathom/ops/plain.h"

namespace fathom {
namespace {

std::atomic<bool> plain_only{plain_is_asked()};

}  // namespace

PlainOperations::PlainOperations() : before_(plain_only.exchange(true)) {}

PlainOperations::~PlainOperations() {
  plain_only = before_;
}

bool has_kernels(const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && !plain_only && !autocast::is_on(at::kCPU);
}

Tensor WeightDropout::multipliers(int64_t n_head, const Tensor& like) const {
  const auto B = static_cast<int64_t>(streams.size());
  const int64_t Q = B == 0 ? 0 : static_cast<int64_t>(query_positions.size()) / B;
  const int64_t K = B == 0 ? 0 : static_cast<int64_t>(key_positions.size()) / B;
  const Tensor out_BHQK = at::empty({B, n_head, Q, K}, at::TensorOptions(at::kFloat));
  auto* out = out_BHQK.data_ptr<float>();
  run_units(B * n_head, /*small=*/Q * K < 64, [&](int64_t i) {
    std::vector<float> line(static_cast<size_t>(span));
    const int64_t b = i / n_head, h = i % n_head;
    for (int64_t q = 0; q < Q; ++q) {
      const int64_t first = (query_positions[size_t(b * Q + q)] * n_head + h) * span;
      fill_dropout({line.data(), line.size()}, p, seed, streams[size_t(b)], uint64_t(first));
      float* to = out + (i * Q + q) * K;
      for (int64_t k = 0; k < K; ++k) to[k] = line[size_t(key_positions[size_t(b * K + k)])];
    }
  });
  return out_BHQK.to(like.device(), like.scalar_type());
}

Tensor RowDropout::multipliers(const Tensor& like) const {
  const auto R = static_cast<int64_t>(streams.size());
  const Tensor out_RC = at::empty({R, width}, at::TensorOptions(at::kFloat));
  drop_rows({p, seed, streams.data(), firsts.data()}, nullptr, R, width, out_RC.data_ptr<float>());
  return out_RC.to(like.device(), like.scalar_type());
}

Tensor apply_dropout(const Tensor& x_RC, const std::shared_ptr<const RowDropout>& draws) {
  if (draws == nullptr) return x_RC;
  TORCH_CHECK(x_RC.dim() == 2 && x_RC.size(1) == draws->width &&
                  x_RC.size(0) == static_cast<int64_t>(draws->streams.size()),
              "dropout of ", draws->streams.size(), " rows of ", draws->width, " for [",
              x_RC.sizes(), "]");
  if (has_kernels(x_RC)) return fused::apply_dropout(x_RC, draws);
  return x_RC * draws->multipliers(x_RC);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return (has_kernels(x) ? fused::linear : plain::linear)(x, weight, bias);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return (has_kernels(x) ? fused::layer_norm : plain::layer_norm)(x, weight, bias, eps);
}

Tensor gelu(const Tensor& x, GeluForm form) {
  return plain::gelu(x, form);
}

Tensor mlp(const Tensor& x, const MlpWeights& weights, GeluForm form) {
  return (has_kernels(x) ? fused::mlp : plain::mlp)(x, weights, form);
}

Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout) {
  if (has_kernels(q_BQC) && fused::attention_fits(q_BQC.size(-1), v_BKC.size(-1), n_head))
    return fused::attention(q_BQC, k_BKC, v_BKC, n_head, mask, dropout);
  if (dropout == nullptr)
    if (const Tensor out = newer::attention(q_BQC, k_BKC, v_BKC, n_head, mask); out.defined())
      return out;
  return plain::attention(q_BQC, k_BKC, v_BKC, n_head, mask,
                          dropout ? dropout->multipliers(n_head, q_BQC) : Tensor());
}

Tensor attention(const Tensor& qkv_BTC, int64_t n_head, const AttentionMask& mask,
                 const std::shared_ptr<const WeightDropout>& dropout) {
  const std::vector<Tensor> qkv = qkv_BTC.chunk(3, -1);
  if (has_kernels(qkv_BTC) && fused::attention_fits(qkv[0].size(-1), qkv[2].size(-1), n_head))
    return fused::attention(qkv_BTC, n_head, mask, dropout);
  return attention(qkv[0], qkv[1], qkv[2], n_head, mask, dropout);
}

Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head) {
  const int64_t B = kept.k_BCK.size(0), C = kept.k_BCK.size(1);
  if (has_kernels(rows_RC) && fused::attention_fits(C, kept.v_BKC.size(2), n_head))
    return fused::attention_of_rows(rows_RC, kept, n_head);
  const int64_t Q = kept.mask.queries.longest(), K = kept.mask.keys.longest();
  const Tensor q_BQC = rows_RC.narrow(1, 0, C).reshape({B, Q, C});
  const Tensor k_BKC = kept.k_BCK.narrow(2, 0, K).transpose(1, 2);
  return attention(q_BQC, k_BKC, kept.v_BKC.narrow(1, 0, K), n_head, kept.mask, nullptr)
      .reshape({rows_RC.size(0), kept.v_BKC.size(2)});
}

Tensor embed(const Tensor& x_RC, const Tensor& table, const Tensor& ids_R) {
  if (has_kernels(table)) return fused::embed(x_RC, table, ids_R);
  const Tensor rows_RC = at::embedding(table, ids_R);
  return x_RC.defined() ? x_RC + rows_RC : rows_RC;
}

Tensor plus(const Tensor& a, const Tensor& b) {
  return has_kernels(a) ? fused::plus(a, b) : a + b;
}

Reading readout(const Tensor& n_RC, const Tensor& head, const Tensor& bias,
                const ReadoutRequest& request) {
  return (has_kernels(n_RC) ? fused::readout : plain::readout)(n_RC, head, bias, request);
}

}  // namespace fathom
