#include "fathom/ops/seen_keys.h"

#include <cstring>

namespace fathom {
namespace {

// Values by row of one sequence, or `none` where there are none.
template <class T>
class Values {
 public:
  Values(const Tensor& x, int64_t first, T none)
      : data_(x.defined() ? x.data_ptr<T>() + first : nullptr), none_(none) {}
  T operator[](int64_t i) const { return data_ == nullptr ? none_ : data_[i]; }

 private:
  const T* data_;
  T none_;
};

// Of a line's keys that are not blocked the first one and the one after the last.
KeyRange range_of(const uint8_t* blocked, int64_t K) {
  const auto* first = static_cast<const uint8_t*>(std::memchr(blocked, 0, static_cast<size_t>(K)));
  if (first == nullptr) return {};
  int64_t last = K;
  while (blocked[last - 1] != 0) --last;
  return {static_cast<int32_t>(first - blocked), static_cast<int32_t>(last)};
}

}  // namespace

void SeenKeys::find(const AttentionMask& mask) {
  const int64_t B = mask.queries.batch();
  Q_ = mask.queries.longest();
  K_ = mask.keys.longest();
  ranges_.assign(static_cast<size_t>(B * Q_), {});
  holes_ = by_pair_ = false;
  if (mask.valid.defined() || mask.hidden.defined()) hidden_.assign(static_cast<size_t>(B * K_), 0);
  has_own_ = mask.hidden.defined() && !mask.mask_self;
  if (has_own_) own_.assign(static_cast<size_t>(B * Q_), -1);
  for (int64_t b = 0; b < B && !by_pair_; ++b) by_pair_ = !find_ranges(mask, b);
  if (!by_pair_) return;
  ranges_.assign(static_cast<size_t>(B * Q_), {});
  blocked_.assign(static_cast<size_t>(B * Q_ * K_), 1);
  for (int64_t b = 0; b < B; ++b) find_pairs(mask, b);
}

void SeenKeys::tell(AttentionProblem& p) const {
  p.ranges = ranges_.data();
  if (!holes_) return;
  if (by_pair_) {
    p.blocked = blocked_.data();
    return;
  }
  p.hidden = hidden_.data();
  if (has_own_) p.own = own_.data();
}

bool SeenKeys::find_runs(const AttentionRows& keys, int64_t b) {
  const Values<int64_t> segment(keys.segments, keys.begin[size_t(b)], 0);
  runs_.clear();
  for (int64_t k = 0; k < keys.count(b); ++k)
    if (runs_.empty() || runs_.back().segment != segment[k])
      runs_.push_back({segment[k], k, k + 1});
    else
      runs_.back().last = k + 1;
  const auto before = [](const Run& x, const Run& y) { return x.segment < y.segment; };
  std::sort(runs_.begin(), runs_.end(), before);
  for (size_t i = 1; i < runs_.size(); ++i)
    if (runs_[i].segment == runs_[i - 1].segment) return false;
  return true;
}

// True: some are.
bool SeenKeys::find_hidden(const AttentionMask& mask, int64_t b) {
  const int64_t first = mask.keys.begin[size_t(b)], K = mask.keys.count(b);
  const Values<bool> valid(mask.valid, first, true), hidden(mask.hidden, first, false);
  float* line = hidden_.data() + b * K_;
  const auto size = static_cast<size_t>(K + 1);
  next_.resize(size), end_.resize(size), count_.resize(size);
  end_[0] = count_[0] = 0;
  for (int64_t k = 0; k < K; ++k) {
    const bool gone = !valid[k] || hidden[k];
    line[k] = gone ? 1 : 0;
    end_[size_t(k + 1)] = gone ? end_[size_t(k)] : static_cast<int32_t>(k + 1);
    count_[size_t(k + 1)] = count_[size_t(k)] + (gone ? 1 : 0);
  }
  next_[size_t(K)] = static_cast<int32_t>(K);
  for (int64_t k = K - 1; k >= 0; --k)
    next_[size_t(k)] = line[k] != 0 ? next_[size_t(k + 1)] : static_cast<int32_t>(k);
  return count_[size_t(K)] > 0;
}

bool SeenKeys::find_ranges(const AttentionMask& mask, int64_t b) {
  const AttentionRows &queries = mask.queries, &keys = mask.keys;
  const int64_t K = keys.count(b), first_key = keys.begin[size_t(b)];
  const int64_t* position = keys.positions.data() + first_key;
  for (int64_t k = 1; k < K; ++k)
    if (position[k] <= position[k - 1]) return false;
  if (mask.strict && !mask.causal) return false;
  const bool segments = keys.segments.defined() || queries.segments.defined();
  if (segments && !find_runs(keys, b)) return false;
  const bool some_hidden = (mask.valid.defined() || mask.hidden.defined()) && find_hidden(mask, b);
  const Values<bool> valid(mask.valid, first_key, true);
  const Values<int64_t> segment_of(queries.segments, queries.begin[size_t(b)], 0);
  // The first key at this position or after it.
  const auto from = [&](int64_t p) {
    return std::lower_bound(position, position + K, p) - position;
  };
  for (int64_t q = 0; q < queries.count(b); ++q) {
    const int64_t p = queries.positions[size_t(queries.begin[size_t(b)] + q)];
    int64_t first = mask.context ? from(p - *mask.context) : 0;
    int64_t last = mask.causal    ? from(p + (mask.strict ? 0 : 1))
                   : mask.context ? from(p + *mask.context + 1)
                                  : K;
    if (segments) {
      const auto run = std::lower_bound(runs_.begin(), runs_.end(), segment_of[q],
                                        [](const Run& r, int64_t s) { return r.segment < s; });
      if (run == runs_.end() || run->segment != segment_of[q]) continue;
      first = std::max(first, run->first);
      last = std::min(last, run->last);
    }
    if (first >= last) continue;
    KeyRange r = {static_cast<int32_t>(first), static_cast<int32_t>(last)};
    int32_t own = -1;
    if (some_hidden) {
      r = {next_[size_t(first)], end_[size_t(last)]};
      const int64_t k = has_own_ ? from(p) : K;
      const bool is_own = k >= first && k < last && position[k] == p && valid[k] &&
                          hidden_[size_t(b * K_ + k)] != 0;
      if (is_own) own = static_cast<int32_t>(k);
      if (is_own && r.first >= r.last) r = {own, own};
      if (is_own) r = {std::min(r.first, own), std::max(r.last, own + 1)};
      if (r.first >= r.last) continue;
      holes_ = holes_ || count_[size_t(r.last)] - count_[size_t(r.first)] > (is_own ? 1 : 0);
    }
    ranges_[size_t(b * Q_ + q)] = r;
    if (own >= 0) own_[size_t(b * Q_ + q)] = own;
  }
  return true;
}

void SeenKeys::find_pairs(const AttentionMask& mask, int64_t b) {
  const AttentionRows &queries = mask.queries, &keys = mask.keys;
  const int64_t first_query = queries.begin[size_t(b)], first_key = keys.begin[size_t(b)];
  const Values<bool> valid(mask.valid, first_key, true), hidden(mask.hidden, first_key, false);
  const Values<int64_t> query_segment(queries.segments, first_query, 0),
      key_segment(keys.segments, first_key, 0);
  for (int64_t q = 0; q < queries.count(b); ++q) {
    const int64_t p = queries.positions[size_t(first_query + q)];
    uint8_t* line = blocked_.data() + (b * Q_ + q) * K_;
    for (int64_t k = 0; k < keys.count(b); ++k) {
      const int64_t behind = p - keys.positions[size_t(first_key + k)];
      const bool far = mask.context && std::abs(behind) > *mask.context;
      const bool is_hidden = hidden[k] && (mask.mask_self || behind != 0);
      const bool own = mask.strict && behind == 0;
      if (valid[k] && !is_hidden && !far && !own && (behind >= 0 || !mask.causal) &&
          key_segment[k] == query_segment[q])
        line[k] = 0;
    }
    const KeyRange r = ranges_[size_t(b * Q_ + q)] = range_of(line, K_);
    const auto n = static_cast<size_t>(r.last - r.first);
    holes_ = holes_ || std::memchr(line + r.first, 1, n) != nullptr;
  }
}

}  // namespace fathom
