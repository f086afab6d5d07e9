#include "fathom/model/walk/attention_cache.h"

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
    : sequences_(sequences), capacity_(capacity) {
  for (int64_t b = 0; b < sequences; ++b) begins_.push_back(b * capacity);
}

int64_t AttentionCache::keys(int slot, int64_t sequence) const {
  const auto s = static_cast<size_t>(slot), b = static_cast<size_t>(sequence);
  if (s >= slots_.size() || slots_[s].ends.empty()) return 0;
  return slots_[s].ends.at(b) - begins_[b];
}

void AttentionCache::allocate(Slot& slot, const Columns& keys, const Columns& values) const {
  slot.ends = begins_;
  const int64_t all = sequences_ * capacity_;
  slot.positions.resize(static_cast<size_t>(all));
  slot.segments = at::zeros({all}, at::TensorOptions(at::kLong));
  slot.valid = at::zeros({all}, at::TensorOptions(at::kBool));
  slot.hidden = at::zeros({all}, at::TensorOptions(at::kBool));
  // An odd number of cache lines for a channel, so that a key's elements are spread over all sets
  // of a cache.
  const int64_t lines = (capacity_ + 15) / 16 | 1;
  // Zeros: a weight of 0 times what was never written must not be a number that is none.
  slot.k_BCK = at::zeros({sequences_, keys.count, lines * 16}, keys.x_R.options());
  slot.v_BKC = at::zeros({sequences_, capacity_, values.count}, values.x_R.options());
}

int64_t AttentionCache::place_of(const Slot& slot, int64_t sequence, int64_t position) const {
  const auto b = static_cast<size_t>(sequence);
  const auto begin = slot.positions.begin() + begins_[b],
             end = slot.positions.begin() + slot.ends[b];
  if (begin == end || end[-1] < position) return end - begin;  // the next one of a text
  return std::lower_bound(begin, end, position) - begin;
}

struct AttentionCache::Given {
  const Rows& rows;
  const Columns &k, &v;
  PerRow<int64_t> segment;
  PerRow<bool> valid, hidden;

  int64_t position(int64_t row) const { return rows.positions()[static_cast<size_t>(row)]; }
};

void AttentionCache::put(int slot_number, const Rows& rows, const Columns& k, const Columns& v,
                         const Tensor& hidden_R) {
  const auto s = static_cast<size_t>(slot_number);
  if (slots_.size() <= s) slots_.resize(s + 1);
  Slot& slot = slots_[s];
  if (slot.ends.empty()) allocate(slot, k, v);
  const Given given = {rows, k, v, {rows.segment_R, 0}, {rows.valid_R, true}, {hidden_R, false}};
  for (int64_t b = 0; b < sequences_; ++b) put(slot, b, given);
}

void AttentionCache::put(Slot& slot, int64_t b, const Given& given) const {
  const auto i = static_cast<size_t>(b);
  const int64_t first = given.rows.offsets()[i], end = given.rows.offsets()[i + 1];
  const int64_t begin = begins_[i], known = slot.ends[i] - begin;
  const auto is_at = [&](int64_t at, int64_t row) {
    return begin + at < slot.ends[i] && slot.positions[size_t(begin + at)] == given.position(row);
  };
  int64_t added = 0;
  for (int64_t row = first; row < end; ++row) {
    if (row > first && given.position(row) <= given.position(row - 1))
      fail("a sequence's rows come to a cache in the order of their positions");
    if (!is_at(place_of(slot, b, given.position(row)), row)) ++added;
  }
  if (known + added > capacity_)
    fail(fmt::format("{} tokens do not fit a cache of {}", known + added, capacity_));
  if (first == end) return;
  const int64_t at_first = place_of(slot, b, given.position(first));
  const int64_t at_last = place_of(slot, b, given.position(end - 1));
  const bool all_new = at_first == known,
             all_known = added == 0 && at_last - at_first == end - first - 1;
  if (all_new || all_known) {
    write(slot, b, at_first, first, end - first, given);
  } else {
    // From the last row on: what is behind its place makes room for it and for those before it.
    int64_t shift = added;
    for (int64_t row = end - 1; row >= first; --row) {
      const int64_t at = place_of(slot, b, given.position(row)), same = is_at(at, row) ? 1 : 0;
      move(slot, b, at + same, slot.ends[i] - begin, shift);
      shift -= 1 - same;
      write(slot, b, at + shift, row, 1, given);
      slot.ends[i] = begin + at;  // those before it are what is left to look at
    }
  }
  slot.ends[i] = begin + known + added;
}

void AttentionCache::move(Slot& slot, int64_t sequence, int64_t first, int64_t end,
                          int64_t by) const {
  if (first == end || by == 0) return;
  const int64_t start = begins_[static_cast<size_t>(sequence)], count = end - first;
  const auto shift = [&](auto* x) {
    std::copy_backward(x + start + first, x + start + end, x + start + end + by);
  };
  shift(slot.positions.data());
  shift(slot.segments.data_ptr<int64_t>());
  shift(slot.valid.data_ptr<bool>());
  shift(slot.hidden.data_ptr<bool>());
  for (const auto& [x, key] : {std::pair{slot.k_BCK, 2}, std::pair{slot.v_BKC, 1}}) {
    const Tensor all = x.select(0, sequence);
    all.narrow(key - 1, first + by, count).copy_(all.narrow(key - 1, first, count).clone());
  }
}

void AttentionCache::write(Slot& slot, int64_t sequence, int64_t at, int64_t first, int64_t count,
                           const Given& given) const {
  const int64_t place = begins_[static_cast<size_t>(sequence)] + at;
  auto* segments = slot.segments.data_ptr<int64_t>() + place;
  auto *is_valid = slot.valid.data_ptr<bool>() + place,
       *is_hidden = slot.hidden.data_ptr<bool>() + place;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = first + i;
    slot.positions[size_t(place + i)] = given.position(row);
    segments[i] = given.segment[row];
    is_valid[i] = given.valid[row];
    is_hidden[i] = given.hidden[row];
    slot.has_segments = slot.has_segments || given.segment[row] != 0;
    slot.has_invalid = slot.has_invalid || !given.valid[row];
    slot.has_hidden = slot.has_hidden || given.hidden[row];
  }
  copy_rows(given.k, first, count, slot.k_BCK, 2, sequence, at);
  copy_rows(given.v, first, count, slot.v_BKC, 1, sequence, at);
}

KeptKeys AttentionCache::contents(int slot_number, const Rows& rows, const Visibility& v) const {
  const Slot& slot = slots_.at(static_cast<size_t>(slot_number));
  KeptKeys kept = {slot.k_BCK, slot.v_BKC, {}};
  kept.mask.queries = places(rows);
  kept.mask.keys = {begins_, slot.ends, slot.positions, {}};
  if (slot.has_segments) kept.mask.keys.segments = slot.segments;
  if (slot.has_invalid) kept.mask.valid = slot.valid;
  if (slot.has_hidden) kept.mask.hidden = slot.hidden;
  kept.mask.context = v.context;
  kept.mask.mask_self = v.mask_self;
  kept.mask.causal = v.causal;
  return kept;
}

void AttentionCache::truncate(int64_t sequence, int64_t position) {
  const auto b = static_cast<size_t>(sequence);
  for (Slot& slot : slots_)
    if (!slot.ends.empty()) slot.ends.at(b) = begins_[b] + place_of(slot, sequence, position);
}

void AttentionCache::forget(int64_t sequence) {
  const auto b = static_cast<size_t>(sequence);
  for (Slot& slot : slots_)
    if (!slot.ends.empty()) slot.ends.at(b) = begins_[b];
}

Tensor CachedAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC,
                               const Tensor& v_RC) {
  cache_.put(slot, rows_, {k_RC, 0, k_RC.size(1)}, {v_RC, 0, v_RC.size(1)}, visibility_.hidden_R);
  return attend_to_kept(slot, q_RC);
}

Tensor CachedAttention::attend(int slot, const Tensor& q_RC, const Tensor& k_RC, const Tensor& v_RC,
                               const AttentionForm& form) {
  cache_.put(slot, rows_, {k_RC, 0, k_RC.size(1)}, {v_RC, 0, v_RC.size(1)}, visibility_.hidden_R);
  return attend_to_kept(slot, q_RC, form);
}

Tensor CachedAttention::attend(int slot, const Tensor& qkv_RC) {
  const int64_t C = qkv_RC.size(1) / 3;
  cache_.put(slot, rows_, {qkv_RC, C, C}, {qkv_RC, 2 * C, C}, visibility_.hidden_R);
  // Sequences of the same length need no padding, and then the queries may stay where they are.
  return attend_to_kept(slot, rows_.even() ? qkv_RC : qkv_RC.narrow(1, 0, C));
}

void CachedAttention::put(int slot, const std::shared_ptr<const Rows>& rows, const Tensor& k_RC,
                          const Tensor& v_RC) {
  const auto put = [&](int to) {
    cache_.put(to, *rows, {k_RC, 0, k_RC.size(1)}, {v_RC, 0, v_RC.size(1)}, Tensor());
  };
  put(slot);
  for (const int distance : ahead_) put(slot + distance);
}

Tensor CachedAttention::attend_to_kept(int slot, const Tensor& q_RC, const AttentionForm& form) {
  const KeptKeys kept = cache_.contents(slot, rows_, visibility_);
  if (rows_.even()) return attention_of_rows(q_RC, kept, n_head_, form);
  return rows_.unpad(attention_of_rows(rows_.pad(q_RC).flatten(0, 1), kept, n_head_, form));
}

}  // namespace fathom
