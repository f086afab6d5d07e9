#include "fathom/model/attention_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

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

// Rows [first, first + count) of `from` become the keys [at ...) of `to`, whose dimension `key`
// they are in. A few on the processor without the operators of libtorch, which take longer than the
// copy.
void copy_rows(const AttentionCache::Columns& from, int64_t first, int64_t count, const Tensor& to,
               int64_t key, int64_t sequence, int64_t at) {
  constexpr int64_t kFew = 4;
  const Tensor& x = from.x_R;
  const bool floats = x.scalar_type() == at::kFloat && to.scalar_type() == at::kFloat;
  if (count > kFew || !x.is_cpu() || !floats) {
    const Tensor place = to.select(0, sequence).narrow(key - 1, at, count);
    const Tensor rows = x.narrow(0, first, count).narrow(1, from.first, from.count);
    place.copy_(key == 1 ? rows : rows.t());
    return;
  }
  const int64_t channel = 3 - key, to_channel = to.stride(channel), x_channel = x.stride(1);
  for (int64_t i = 0; i < count; ++i) {
    const float* source = x.data_ptr<float>() + (first + i) * x.stride(0) + from.first * x_channel;
    float* p = to.data_ptr<float>() + sequence * to.stride(0) + (at + i) * to.stride(key);
    if (to_channel == 1 && x_channel == 1)
      std::copy_n(source, from.count, p);
    else
      for (int64_t c = 0; c < from.count; ++c) p[c * to_channel] = source[c * x_channel];
  }
}

}  // namespace

AttentionCache::AttentionCache(int64_t sequences, int64_t capacity)
    : sequences_(sequences), capacity_(capacity) {}

int64_t AttentionCache::keys(int slot, int64_t sequence) const {
  const auto s = static_cast<size_t>(slot);
  if (s >= slots_.size() || slots_[s].keys.empty()) return 0;
  return static_cast<int64_t>(slots_[s].keys.at(static_cast<size_t>(sequence)).all.size());
}

void AttentionCache::allocate(Slot& slot, const Columns& keys, const Columns& values) const {
  slot.keys.resize(static_cast<size_t>(sequences_));
  for (Keys& keys_of_sequence : slot.keys)
    keys_of_sequence.all.reserve(static_cast<size_t>(capacity_));
  // An odd number of cache lines for a channel, so that a key's elements are spread over all sets
  // of a cache.
  const int64_t lines = (capacity_ + 15) / 16 | 1;
  // Zeros: a weight of 0 times what was never written must not be a number that is none.
  slot.k_BCK = at::zeros({sequences_, keys.count, lines * 16}, keys.x_R.options());
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
    Keys& keys = slot.keys[i];
    const auto known = static_cast<int64_t>(keys.all.size());
    if (known + added > capacity_)
      fail(fmt::format("{} tokens do not fit a cache of {}", known + added, capacity_));
    for (int64_t row = first; row < first + added; ++row)
      keys.add({rows.positions()[static_cast<size_t>(row)], segment[row], valid[row], hidden[row]});
    copy_rows(k, first, added, slot.k_BCK, 2, b, known);
    copy_rows(v, first, added, slot.v_BKC, 1, b, known);
  }
}

void AttentionCache::Keys::add(const Key& key) {
  const bool continues = plain == 0 || (key.position == all[plain - 1].position + 1 &&
                                        key.segment == all[plain - 1].segment);
  if (plain == all.size() && key.valid && !key.hidden && continues) ++plain;
  all.push_back(key);
}

void AttentionCache::Keys::clear() {
  all.clear();
  plain = 0;
}

// `line` holds 1s; writes 0 for every key that the query may see.
void AttentionCache::show(const Keys& keys, const Key& query, const Visibility& v, uint8_t* line) {
  const int64_t oldest = v.context ? query.position - *v.context : 0;  // none is negative
  const auto plain = static_cast<int64_t>(keys.plain);
  if (plain > 0 && keys.all[0].segment == query.segment) {
    const int64_t start = keys.all[0].position;
    const int64_t from = std::max(oldest - start, int64_t{0});
    const int64_t end = std::min(query.position + 1 - start, plain);
    if (from < end) std::fill(line + from, line + end, 0);
  }
  for (size_t k = keys.plain; k < keys.all.size(); ++k) {
    const Key& key = keys.all[k];
    const bool hidden = key.hidden && (v.mask_self || key.position != query.position);
    if (key.valid && !hidden && key.position <= query.position && key.position >= oldest &&
        key.segment == query.segment)
      line[k] = 0;
  }
}

KeptKeys AttentionCache::contents(int slot_number, const Rows& rows, const Visibility& v) {
  const Slot& slot = slots_.at(static_cast<size_t>(slot_number));
  size_t longest = 0;
  for (const Keys& keys : slot.keys) longest = std::max(longest, keys.all.size());
  const int64_t Q = rows.longest();
  blocked_.assign(static_cast<size_t>(sequences_ * Q) * longest, 1);
  const PerRow<int64_t> segment(rows.segment_R, 0);
  uint8_t* line = blocked_.data();
  for (int64_t b = 0; b < sequences_; ++b) {
    const auto i = static_cast<size_t>(b);
    const Keys& keys = slot.keys[i];
    const int64_t first = rows.offsets()[i], count = rows.offsets()[i + 1] - first;
    for (int64_t q = 0; q < count; ++q) {
      const auto row = static_cast<size_t>(first + q);
      show(keys, {rows.positions()[row], segment[first + q]}, v,
           line + q * static_cast<int64_t>(longest));
    }
    line += Q * static_cast<int64_t>(longest);
  }
  return {slot.k_BCK, slot.v_BKC, Q, static_cast<int64_t>(longest), blocked_.data()};
}

void AttentionCache::forget(int64_t sequence) {
  for (Slot& slot : slots_)
    if (!slot.keys.empty()) slot.keys[static_cast<size_t>(sequence)].clear();
}

Tensor CachedAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC,
                               const Tensor& v_RC) {
  cache_.add(slot, rows_, {k_RC, 0, k_RC.size(1)}, {v_RC, 0, v_RC.size(1)}, visibility_.hidden_R);
  return attend_to_kept(slot, q_RC);
}

Tensor CachedAttention::attend(int slot, const Tensor& qkv_RC) {
  const int64_t C = qkv_RC.size(1) / 3;
  cache_.add(slot, rows_, {qkv_RC, C, C}, {qkv_RC, 2 * C, C}, visibility_.hidden_R);
  // Sequences of the same length need no padding, and then the queries may stay where they are.
  return attend_to_kept(slot, rows_.even() ? qkv_RC : qkv_RC.narrow(1, 0, C));
}

Tensor CachedAttention::attend_to_kept(int slot, const Tensor& q_RC) {
  const KeptKeys kept = cache_.contents(slot, rows_, visibility_);
  if (rows_.even()) return attention_of_rows(q_RC, kept, n_head_);
  return rows_.unpad(attention_of_rows(rows_.pad(q_RC).flatten(0, 1), kept, n_head_));
}

}  // namespace fathom
