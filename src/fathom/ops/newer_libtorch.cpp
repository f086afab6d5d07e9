#include "fathom/ops/newer_libtorch.h"

#include <torch/version.h>

#if TORCH_VERSION_MAJOR >= 2
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#endif

#include "fathom/ops/plain.h"

namespace fathom::newer {

#if TORCH_VERSION_MAJOR >= 2

namespace {

// Each row sees itself and those before it, which is what is computed without a matrix.
bool is_triangle(const AttentionMask& mask) {
  if (!mask.causal || mask.strict || mask.context || !mask.is_shared() || mask.may_be_empty())
    return false;
  const AttentionRows& rows = mask.queries;
  const int64_t* position = rows.positions.data() + rows.begin[0];
  for (int64_t i = 1; i < rows.count(0); ++i)
    if (position[i] <= position[i - 1]) return false;
  return true;
}

}  // namespace

Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask) {
  if (q_BQC.is_cpu() || mask.queries.batch() == 0 || mask.may_be_empty()) return {};
  const auto by_head = [&](const Tensor& x) {
    return x.view({x.size(0), x.size(1), n_head, x.size(2) / n_head}).transpose(1, 2);
  };
  c10::optional<Tensor> seen;
  const bool triangle = is_triangle(mask);
  if (!triangle) {
    const Tensor seen_QK = plain::blocked_pairs(mask, q_BQC.device()).logical_not();
    seen = seen_QK.dim() == 3 ? seen_QK.unsqueeze(1) : seen_QK;
  }
  const Tensor heads_BHQE = at::scaled_dot_product_attention(
      by_head(q_BQC), by_head(k_BKC), by_head(v_BKC), seen, /*dropout_p=*/0, triangle);
  return heads_BHQE.transpose(1, 2).reshape({q_BQC.size(0), q_BQC.size(1), v_BKC.size(2)});
}

bool adamw(const AdamWStep& s, const Tensor& w, const Tensor& g, const Tensor& m, const Tensor& v) {
  if (!w.is_cuda() || w.scalar_type() != at::kFloat || g.scalar_type() != at::kFloat) return false;
  // The corrections are in the step already, and of a late enough one the operator makes none:
  //   step_size m / (sqrt(v) / root + eps) = step_size root m / (sqrt(v) + root eps)
  constexpr double kLate = 1e9;
  const double rate = s.step_size * s.root;
  if (rate == 0) return false;
  const Tensor scaled = s.gradient_scale == 1 ? g : g * s.gradient_scale;
  at::_fused_adamw_({w}, {scaled.contiguous()}, {m}, {v}, /*max_exp_avg_sqs=*/{},
                    {at::full({}, kLate, w.options())}, rate, s.beta1, s.beta2, (1 - s.keep) / rate,
                    s.eps * s.root, /*amsgrad=*/false, /*maximize=*/false);
  return true;
}

#else

Tensor attention(const Tensor&, const Tensor&, const Tensor&, int64_t, const AttentionMask&) {
  return {};
}

bool adamw(const AdamWStep&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  return false;
}

#endif

}  // namespace fathom::newer
