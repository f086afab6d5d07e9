#include "fathom/model/attend.h"

#include <ATen/ops/arange.h>
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

AttentionMask make_mask(const Rows& rows, const Visibility& v) {
  AttentionMask mask;
  const Tensor position_BT = padded(rows, rows.position_R);
  // Positions that all sequences share need one (T, T) mask for the batch.
  const bool shared = rows.even() && position_BT.eq(position_BT.select(0, 0)).all().item<bool>();
  const Tensor p = shared ? position_BT.select(0, 0) : position_BT;
  const Tensor query = p.unsqueeze(-1), key = p.unsqueeze(-2);
  mask.blocked = key.gt(query);
  if (v.context) mask.blocked = mask.blocked.logical_or((query - key).gt(*v.context));
  if (rows.segment_R.defined()) {
    const Tensor s_BT = padded(rows, rows.segment_R);
    mask.blocked = mask.blocked.logical_or(s_BT.unsqueeze(-1).ne(s_BT.unsqueeze(-2)));
  }
  const auto hide = [&](const Tensor& hidden_R, bool self) {
    Tensor hidden = padded(rows, hidden_R).unsqueeze(1);
    if (!self) hidden = hidden.logical_and(key.ne(query));
    mask.blocked = mask.blocked.logical_or(hidden);
    mask.may_be_empty = mask.may_be_empty || self;
  };
  if (rows.valid_R.defined()) hide(rows.valid_R.logical_not(), true);
  if (v.hidden_R.defined()) hide(v.hidden_R, v.mask_self);
  if (!rows.even()) {
    mask.blocked = mask.blocked.logical_or(is_padding(rows).unsqueeze(1));
    mask.may_be_empty = true;
  }
  return mask;
}

Tensor WalkAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC,
                             const Tensor& v_RC) {
  Tensor multipliers;
  if (dropout_.p > 0)
    multipliers = dropout_.field->attention_dropout(fmt::format("attention_weights.{}", slot),
                                                    dropout_.p, rows_, rows_, n_head_,
                                                    dropout_.span, q_RC);
  return rows_.unpad(
      attention(rows_.pad(q_RC), rows_.pad(k_RC), rows_.pad(v_RC), n_head_, mask_, multipliers));
}

}  // namespace fathom
