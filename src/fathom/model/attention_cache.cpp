#include "fathom/model/attention_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// A row's value on the processor, or `none` where there are none.
template <class T>
class PerRow {
 public:
  PerRow(const Tensor& x_R, T none) : none_(none) {
    if (x_R.defined()) x_R_ = x_R.to(at::kCPU).contiguous();
    if (x_R_.defined()) data_ = x_R_.data_ptr<T>();
  }
  T operator[](int64_t row) const { return data_ == nullptr ? none_ : data_[row]; }

 private:
  Tensor x_R_;
  const T* data_ = nullptr;
  T none_;
};

// Rows [first, first + count) of `from` become to[at ...). On the processor without the operators
// of libtorch, which take longer than that for the one row of a decoder's step.
void copy_rows(const AttentionCache::Columns& from, int64_t first, int64_t count,
               const Tensor& to_BKC, int64_t sequence, int64_t at) {
  const Tensor& x = from.x_R;
  if (!x.is_cpu() || x.scalar_type() != to_BKC.scalar_type() || x.stride(1) != 1) {
    to_BKC.select(0, sequence)
        .narrow(0, at, count)
        .copy_(x.narrow(0, first, count).narrow(1, from.first, from.count));
    return;
  }
  const auto bytes = static_cast<int64_t>(x.element_size());
  const auto* source =
      static_cast<const char*>(x.data_ptr()) + (first * x.stride(0) + from.first) * bytes;
  auto* to = static_cast<char*>(to_BKC.data_ptr()) +
             (sequence * to_BKC.stride(0) + at * to_BKC.stride(1)) * bytes;
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * to_BKC.stride(1) * bytes, source + i * x.stride(0) * bytes,
                static_cast<size_t>(from.count * bytes));
}

}  // namespace

AttentionCache::AttentionCache(int64_t sequences, int64_t capacity)
    : sequences_(sequences), capacity_(capacity) {}

int64_t AttentionCache::keys(int slot, int64_t sequence) const {
  const auto s = static_cast<size_t>(slot);
  if (s >= slots_.size() || slots_[s].keys.empty()) return 0;
  return static_cast<int64_t>(slots_[s].keys.at(static_cast<size_t>(sequence)).size());
}

void AttentionCache::allocate(Slot& slot, const Columns& keys, const Columns& values) const {
  slot.keys.resize(static_cast<size_t>(sequences_));
  for (std::vector<Key>& of_sequence : slot.keys)
    of_sequence.reserve(static_cast<size_t>(capacity_));
  // Zeros: a weight of 0 times what was never written must not be a number that is none.
  slot.k_BKC = at::zeros({sequences_, capacity_, keys.count}, keys.x_R.options());
  slot.v_BKC = at::zeros({sequences_, capacity_, values.count}, values.x_R.options());
}

void AttentionCache::add(int slot_number, const Rows& rows, const Columns& k, const Columns& v,
                         const Tensor& hidden_R) {
  const auto s = static_cast<size_t>(slot_number);
  if (slots_.size() <= s) slots_.resize(s + 1);
  Slot& slot = slots_[s];
  if (slot.keys.empty()) allocate(slot, k, v);
  const PerRow<int64_t> segment(rows.segment_R, 0);
  const PerRow<bool> valid(rows.valid_R, true), hidden(hidden_R, false);
  for (int64_t b = 0; b < sequences_; ++b) {
    const auto i = static_cast<size_t>(b);
    const int64_t first = rows.offsets()[i], added = rows.offsets()[i + 1] - first;
    std::vector<Key>& keys = slot.keys[i];
    const auto known = static_cast<int64_t>(keys.size());
    if (known + added > capacity_)
      fail(fmt::format("{} tokens do not fit a cache of {}", known + added, capacity_));
    for (int64_t row = first; row < first + added; ++row)
      keys.push_back(
          {rows.positions()[static_cast<size_t>(row)], segment[row], valid[row], hidden[row]});
    copy_rows(k, first, added, slot.k_BKC, b, known);
    copy_rows(v, first, added, slot.v_BKC, b, known);
  }
}

KeptKeys AttentionCache::contents(int slot_number, const Rows& rows, const Visibility& v) {
  const Slot& slot = slots_.at(static_cast<size_t>(slot_number));
  size_t longest = 0;
  for (const std::vector<Key>& keys : slot.keys) longest = std::max(longest, keys.size());
  const int64_t Q = rows.longest();
  blocked_.assign(static_cast<size_t>(sequences_ * Q) * longest, 1);
  const PerRow<int64_t> segment(rows.segment_R, 0);
  uint8_t* line = blocked_.data();
  for (int64_t b = 0; b < sequences_; ++b) {
    const auto i = static_cast<size_t>(b);
    const std::vector<Key>& keys = slot.keys[i];
    const int64_t first = rows.offsets()[i], count = rows.offsets()[i + 1] - first;
    for (int64_t q = 0; q < Q; ++q, line += longest) {
      if (q >= count) continue;
      const int64_t row = first + q, position = rows.positions()[static_cast<size_t>(row)];
      for (size_t k = 0; k < keys.size(); ++k) {
        const Key& key = keys[k];
        const bool itself = key.position == position;
        const bool hidden = key.hidden && (v.mask_self || !itself);
        line[k] = !key.valid || hidden || key.position > position || key.segment != segment[row] ||
                  (v.context && position - key.position > *v.context);
      }
    }
  }
  return {slot.k_BKC, slot.v_BKC, Q, static_cast<int64_t>(longest), blocked_.data()};
}

void AttentionCache::forget(int64_t sequence) {
  for (Slot& slot : slots_)
    if (!slot.keys.empty()) slot.keys[static_cast<size_t>(sequence)].clear();
}

Tensor CachedAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC,
                               const Tensor& v_RC) {
  cache_.add(slot, rows_, {k_RC, 0, k_RC.size(1)}, {v_RC, 0, v_RC.size(1)}, visibility_.hidden_R);
  const KeptKeys kept = cache_.contents(slot, rows_, visibility_);
  return rows_.unpad(attention(rows_.pad(q_RC), kept, n_head_));
}

Tensor CachedAttention::attend(int slot, const Tensor& qkv_RC) {
  const int64_t C = qkv_RC.size(1) / 3;
  cache_.add(slot, rows_, {qkv_RC, C, C}, {qkv_RC, 2 * C, C}, visibility_.hidden_R);
  const KeptKeys kept = cache_.contents(slot, rows_, visibility_);
  // Sequences of the same length need no padding, and then the queries may stay where they are.
  if (rows_.even()) return attention_of_rows(qkv_RC, kept, n_head_);
  return rows_.unpad(attention(rows_.pad(qkv_RC.narrow(1, 0, C)), kept, n_head_));
}

}  // namespace fathom
