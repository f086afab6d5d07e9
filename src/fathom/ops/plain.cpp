#include "fathom/ops/plain.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

namespace fathom::plain {
namespace {

// The places (B, longest) of some rows.
class Places {
 public:
  // Of the first B sequences.
  Places(const AttentionRows& rows, int64_t B, at::Device device) : rows_(rows), device_(device) {
    const int64_t longest = rows.longest();
    const auto options = at::TensorOptions(at::kLong);
    row_BL_ = at::zeros({B, longest}, options);
    const Tensor empty_BL = at::zeros({B, longest}, options.dtype(at::kBool));
    for (int64_t b = 0; b < B; ++b)
      for (int64_t i = 0; i < longest; ++i) {
        const bool is_row = i < rows.count(b);
        if (is_row) row_BL_.data_ptr<int64_t>()[b * longest + i] = rows.begin[size_t(b)] + i;
        empty_BL.data_ptr<bool>()[b * longest + i] = !is_row;
      }
    row_BL_ = row_BL_.to(device);
    empty_BL_ = empty_BL.to(device);
  }
  // Of a place that is no row, any row's.
  Tensor of(const Tensor& x_R) const {
    const Tensor there = x_R.to(device_);
    return there.index_select(0, row_BL_.flatten()).view(row_BL_.sizes());
  }
  Tensor positions() const {
    const auto R = static_cast<int64_t>(rows_.positions.size());
    auto* data = const_cast<int64_t*>(rows_.positions.data());  // nobody writes to it
    return of(at::from_blob(data, {R}, at::TensorOptions(at::kLong)));
  }
  Tensor segments() const {
    return rows_.segments.defined() ? of(rows_.segments) : at::zeros_like(row_BL_);
  }
  const Tensor& empty() const { return empty_BL_; }

 private:
  const AttentionRows& rows_;
  at::Device device_;
  Tensor row_BL_, empty_BL_;
};

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? c10::optional<Tensor>(bias) : c10::nullopt);
}

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  // Of a matrix product under autocast x is narrower than the weights, which not every build takes.
  const bool narrow = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  const Tensor like_weight = narrow && weight.defined() ? x.to(weight.scalar_type()) : x;
  return at::layer_norm(like_weight, {x.size(-1)}, weight,
                        bias.defined() ? c10::optional<Tensor>(bias) : c10::nullopt, eps);
}

Tensor gelu(const Tensor& x, GeluForm form) {
  if (form == GeluForm::kSilu) return at::silu(x);
  return at::gelu(x, form == GeluForm::kExact ? "none" : "tanh");
}

Tensor mlp(const Tensor& x, const MlpWeights& w, GeluForm form) {
  return linear(plain::gelu(linear(x, w.up, w.up_bias), form), w.down, w.down_bias);
}

Tensor blocked_pairs(const AttentionMask& mask, at::Device device) {
  const bool shared = mask.is_shared() && mask.queries.batch() > 0;
  const int64_t B = shared ? 1 : mask.queries.batch();
  const Places queries(mask.queries, B, device), keys(mask.keys, B, device);
  const Tensor behind = queries.positions().unsqueeze(2) - keys.positions().unsqueeze(1);
  Tensor blocked = keys.empty().unsqueeze(1).expand_as(behind);
  if (!mask.is_even()) blocked = blocked.logical_or(queries.empty().unsqueeze(2));
  if (mask.causal) blocked = blocked.logical_or(behind.lt(0));
  if (mask.strict) blocked = blocked.logical_or(behind.eq(0));
  if (mask.context) blocked = blocked.logical_or(behind.abs().gt(*mask.context));
  if (mask.queries.segments.defined() || mask.keys.segments.defined())
    blocked = blocked.logical_or(queries.segments().unsqueeze(2).ne(keys.segments().unsqueeze(1)));
  if (mask.valid.defined())
    blocked = blocked.logical_or(keys.of(mask.valid).logical_not().unsqueeze(1));
  if (mask.hidden.defined()) {
    const Tensor hidden = keys.of(mask.hidden).unsqueeze(1);
    blocked = blocked.logical_or(mask.mask_self ? hidden : hidden.logical_and(behind.ne(0)));
  }
  return shared ? blocked.squeeze(0) : blocked;
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
  Tensor blocked = blocked_pairs(mask, q_BQC.device());
  if (blocked.dim() == 3) blocked = blocked.unsqueeze(1);
  Tensor weights_BHQK;
  if (mask.may_be_empty()) {
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
