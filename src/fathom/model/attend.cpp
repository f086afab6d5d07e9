#include "fathom/model/attend.h"

#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

namespace fathom {
namespace {

// (R) -> (B, longest), `padding` after a sequence's rows.
Tensor padded(const Rows& rows, const Tensor& x_R) {
  return rows.pad(x_R.unsqueeze(1)).squeeze(2);
}

// True at the places of (B, longest) that are no row.
Tensor is_padding(const Rows& rows) {
  return padded(rows, rows.position_R.ge(0)).logical_not();
}

}  // namespace

void Masks::begin(const Rows& rows) {
  rows_ = &rows;
  base_ = {};
  const Tensor position_BT = padded(rows, rows.position_R);
  // Positions that all sequences share need one (T, T) mask for the batch.
  const bool shared = rows.even() && position_BT.eq(position_BT.select(0, 0)).all().item<bool>();
  const Tensor p = shared ? position_BT.select(0, 0) : position_BT;
  query_ = p.unsqueeze(-1);
  key_ = p.unsqueeze(-2);
}

void Masks::make_base(const Rows& rows, const Visibility& v) {
  context_ = v.context;
  base_.may_be_empty = rows.valid_R.defined() || !rows.even();
  const Tensor distance = query_ - key_;
  base_.blocked =
      v.causal ? distance.lt(0) : at::zeros_like(distance, at::TensorOptions(at::kBool));
  if (v.context) base_.blocked = base_.blocked.logical_or(distance.abs().gt(*v.context));
  if (rows.segment_R.defined()) {
    const Tensor s_BT = padded(rows, rows.segment_R);
    base_.blocked = base_.blocked.logical_or(s_BT.unsqueeze(-1).ne(s_BT.unsqueeze(-2)));
  }
  if (rows.valid_R.defined())
    base_.blocked = base_.blocked.logical_or(padded(rows, rows.valid_R).logical_not().unsqueeze(1));
  if (!rows.even()) base_.blocked = base_.blocked.logical_or(is_padding(rows).unsqueeze(1));
}

AttentionMask Masks::of(const Rows& rows, const Visibility& v) {
  if (rows_ != &rows) begin(rows);
  if (!base_.blocked.defined() || context_ != v.context) make_base(rows, v);
  AttentionMask mask = base_;
  if (!v.hidden_R.defined()) return mask;
  Tensor hidden = padded(rows, v.hidden_R).unsqueeze(1);
  if (!v.mask_self) hidden = hidden.logical_and(key_.ne(query_));
  mask.blocked = mask.blocked.logical_or(hidden);
  mask.may_be_empty = mask.may_be_empty || v.mask_self;
  return mask;
}

std::shared_ptr<const WeightDropout> WalkAttention::draws(int slot) const {
  if (dropout_.p == 0) return nullptr;
  return std::make_shared<const WeightDropout>(dropout_.field->attention_draws(
      fmt::format("attention_weights.{}", slot), dropout_.p, rows_, rows_, dropout_.span));
}

Tensor WalkAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC) {
  return rows_.unpad(
      attention(rows_.pad(q_RC), rows_.pad(k_RC), rows_.pad(v_RC), n_head_, mask_, draws(slot)));
}

Tensor WalkAttention::attend(int slot, const Tensor& qkv_RC) {
  return rows_.unpad(attention(rows_.pad(qkv_RC), n_head_, mask_, draws(slot)));
}

}  // namespace fathom
