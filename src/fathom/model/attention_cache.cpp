#include "fathom/model/attention_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {

AttentionCache::AttentionCache(int64_t sequences, int64_t capacity)
    : sequences_(sequences), capacity_(capacity) {}

int64_t AttentionCache::keys(int slot, int64_t sequence) const {
  const auto s = static_cast<size_t>(slot);
  if (s >= slots_.size() || slots_[s].count.empty()) return 0;
  return slots_[s].count.at(static_cast<size_t>(sequence));
}

void AttentionCache::allocate(Slot& slot, const Rows& rows, const Tensor& k_RC,
                              const Tensor& v_RC) const {
  const int64_t n = sequences_ * capacity_;
  slot.count.assign(static_cast<size_t>(sequences_), 0);
  slot.k = at::full({n, k_RC.size(1)}, 0, k_RC.options());
  slot.v = at::full({n, v_RC.size(1)}, 0, v_RC.options());
  slot.position = at::full({n}, -1, rows.position_R.options());
  slot.hidden = at::full({n}, false, rows.position_R.options().dtype(at::kBool));
  if (rows.segment_R.defined()) slot.segment = at::full({n}, -1, rows.segment_R.options());
}

AttentionCache::Contents AttentionCache::add(int slot_number, const Rows& rows, const Tensor& k_RC,
                                             const Tensor& v_RC, const Tensor& hidden_R) {
  const auto s = static_cast<size_t>(slot_number);
  if (slots_.size() <= s) slots_.resize(s + 1);
  Slot& slot = slots_[s];
  if (slot.count.empty()) allocate(slot, rows, k_RC, v_RC);

  std::vector<int64_t> places;
  int64_t longest = 0;
  for (int64_t b = 0; b < sequences_; ++b) {
    const auto i = static_cast<size_t>(b);
    const int64_t added = rows.offsets()[i + 1] - rows.offsets()[i];
    if (slot.count[i] + added > capacity_)
      fail(fmt::format("{} tokens do not fit a cache of {}", slot.count[i] + added, capacity_));
    for (int64_t j = 0; j < added; ++j) places.push_back(b * capacity_ + slot.count[i] + j);
    slot.count[i] += added;
    longest = std::max(longest, slot.count[i]);
  }
  const Tensor place_R = index_tensor(places, k_RC.device());
  slot.k.index_copy_(0, place_R, k_RC);
  slot.v.index_copy_(0, place_R, v_RC);
  Tensor position_R = rows.position_R;
  if (rows.valid_R.defined()) position_R = position_R.masked_fill(rows.valid_R.logical_not(), -1);
  slot.position.index_copy_(0, place_R, position_R);
  if (hidden_R.defined())
    slot.hidden.index_copy_(0, place_R, hidden_R);
  else
    slot.hidden.index_fill_(0, place_R, false);
  if (slot.segment.defined()) slot.segment.index_copy_(0, place_R, rows.segment_R);

  const auto shown = [&](const Tensor& x) {
    if (!x.defined()) return x;
    std::vector<int64_t> shape = {sequences_, capacity_};
    if (x.dim() == 2) shape.push_back(x.size(1));
    return x.view(shape).narrow(1, 0, longest);
  };
  return {shown(slot.k), shown(slot.v), shown(slot.position), shown(slot.segment),
          shown(slot.hidden)};
}

void AttentionCache::forget(int64_t sequence) {
  for (Slot& slot : slots_) {
    if (slot.count.empty()) continue;
    slot.count[static_cast<size_t>(sequence)] = 0;
    slot.position.narrow(0, sequence * capacity_, capacity_).fill_(-1);
  }
}

Tensor CachedAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC,
                               const Tensor& v_RC) {
  const auto all = cache_.add(slot, rows_, k_RC, v_RC, visibility_.hidden_R);
  const auto padded = [&](const Tensor& x_R) {
    return rows_.pad(x_R.unsqueeze(1));  // (B, Q, 1)
  };
  const Tensor query_BQ1 = padded(rows_.position_R), key_B1K = all.position_BK.unsqueeze(1);
  AttentionMask mask;
  mask.may_be_empty = true;
  mask.blocked = key_B1K.lt(0).logical_or(key_B1K.gt(query_BQ1));
  if (visibility_.context)
    mask.blocked = mask.blocked.logical_or((query_BQ1 - key_B1K).gt(*visibility_.context));
  if (all.segment_BK.defined())
    mask.blocked = mask.blocked.logical_or(all.segment_BK.unsqueeze(1).ne(padded(rows_.segment_R)));
  Tensor hidden = all.hidden_BK.unsqueeze(1);
  if (!visibility_.mask_self) hidden = hidden.logical_and(key_B1K.ne(query_BQ1));
  mask.blocked = mask.blocked.logical_or(hidden);
  return rows_.unpad(attention(rows_.pad(q_RC), all.k_BKC, all.v_BKC, n_head_, mask, nullptr));
}

}  // namespace fathom
