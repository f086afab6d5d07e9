// What one head's attention works on: its buffers, and a query's scores. Internal to kernels/simd.
#pragma once

#include <cmath>

#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/tile.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {  // no weak symbols: they could be linked in place of another instruction set's

// Scores of some queries: keys in chunks of kDepth, so that a row's part of a chunk lies as a row
// buffer does, kRowStride apart.
//
// A hidden key's score is this, not infinity: its weight e^(score - max) is 0 all the same.
constexpr float kHidden = -1e30f;
// lse of a query without a key: e^(score - lse) is 0.
constexpr float kNoKey = 1e30f;

constexpr int64_t kBlockRows = 4 * kTileRows;  // queries of backward's inner products

int64_t lesser(int64_t a, int64_t b) {
  return a < b ? a : b;
}
int64_t greater(int64_t a, int64_t b) {
  return a > b ? a : b;
}
int64_t whole(int64_t n, int64_t size) {
  return (n + size - 1) / size * size;
}

void clear(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = 0;
}

struct Keys {
  int64_t first, last;
};

// Keys that the queries [begin, end) may see; empty is {0, 0}.
Keys keys_of(const AttentionHead& a, int64_t begin, int64_t end) {
  Keys all = {a.K, 0};
  for (int64_t q = begin; q < end; ++q) {
    if (a.ranges[q].first >= a.ranges[q].last) continue;
    all.first = lesser(all.first, a.ranges[q].first);
    all.last = greater(all.last, a.ranges[q].last);
  }
  return all.first < all.last ? all : Keys{0, 0};
}

// f(chunk, first, last) for the parts of [first, last) that are in one chunk, counted from its
// start.
template <class F>
[[gnu::always_inline]] inline void each_chunk(int64_t first, int64_t last, const F& f) {
  for (int64_t chunk = first / kDepth; chunk * kDepth < last; ++chunk)
    f(chunk, greater(first - chunk * kDepth, 0), lesser(last - chunk * kDepth, kDepth));
}

float nothing[1];

// Floats, one behind the other, each part on a cache line. Without data: only counts.
class Memory {
 public:
  explicit Memory(float* data) : data_(data) {}
  float* take(int64_t floats) {
    float* part = data_ == nullptr ? nothing : data_ + used_;
    used_ += whole(floats, 16);
    return part;
  }
  int64_t used() const { return used_; }

 private:
  float* data_;
  int64_t used_ = 0;
};

// Forward, few queries, keys turned already: packing them and the values would take longer than
// reading them where they lie.
inline bool reads_in_place(const AttentionHead& a) {
  return a.Q <= kFewQueries && a.k_channel != 1;
}

// Where a query's scores lie and what they are made with.
struct Lines {
  int64_t chunk_stride = 0;
  float* query_rows = nullptr;  // a row buffer
  float* weights = nullptr;     // (chunks, rows, kRowStride)
  float* line = nullptr;        // (K), of dropout
};

struct Buffers : Lines {
  Buffers(const AttentionHead& a, bool backward, float* memory) {
    Memory m(memory);
    const int64_t keys = whole(a.K, kPanel), D = whole(a.D, kPanel), E = whole(a.E, kPanel);
    const int64_t chunks = (keys + kDepth - 1) / kDepth;
    const int64_t rows = backward ? kBlockRows : kTileRows;
    chunk_stride = rows * kRowStride;
    if (!reads_in_place(a) || backward) keys_turned = m.take(keys * a.D);
    query_rows = m.take(kTileRows * kRowStride);
    weights = m.take(chunks * chunk_stride);
    line = m.take(a.dropout.p > 0 ? a.K : 0);
    if (!backward) {
      if (!reads_in_place(a)) values = m.take(a.K * E);
      out = m.take(kTileRows * E);
    } else {
      values_turned = m.take(keys * a.E);
      keys_straight = m.take(a.K * D);
      d_out_rows = m.take(kTileRows * kRowStride);
      slopes = m.take(chunks * chunk_stride);
      queries = m.take(kBlockRows * D);
      d_outs = m.take(kBlockRows * E);
      d_keys = m.take(a.K * D);
      d_values = m.take(a.K * E);
    }
    size = m.used();
  }

  int64_t size = 0;
  float *keys_turned = nullptr, *values_turned = nullptr;  // panels of keys, D and E deep
  float *keys_straight = nullptr, *values = nullptr;       // panels of channels, K deep
  float *d_out_rows = nullptr, *slopes = nullptr;          // as query_rows and weights
  float *queries = nullptr, *d_outs = nullptr;             // panels of channels, kBlockRows deep
  float *d_keys = nullptr, *d_values = nullptr;            // (K, D) and (K, E), rows padded
  float* out = nullptr;
};

// One query's scores, to be worked on chunk by chunk.
class Row {
 public:
  Row(const AttentionHead& a, const Lines& b, int64_t query, int64_t row)
      : a_(a), b_(b), query_(query), row_(row) {
    const KeyRange r = a.ranges[query];
    if (r.first < r.last) keys_ = {r.first, r.last};
  }

  // No key is in its range.
  bool is_empty() const { return keys_.first >= keys_.last; }

  // f(this query's part of the chunk in each of `buffers`, first, last)
  template <class F>
  [[gnu::always_inline]] void each(const F& f) const {
    each_chunk(keys_.first, keys_.last, [&](int64_t chunk, int64_t first, int64_t last) {
      f(chunk * b_.chunk_stride + row_ * kRowStride, chunk * kDepth, first, last);
    });
  }

  // True: a key is left to see.
  bool hide(float* scores) const {
    if (a_.hidden != nullptr) hide_keys(scores);
    if (a_.blocked == nullptr) return keys_.first < keys_.last;
    bool sees = false;
    const uint8_t* blocked = a_.blocked + query_ * a_.K;
    each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k)
        if (blocked[chunk + k] != 0)
          scores[at + k] = kHidden;
        else
          sees = true;
    });
    return sees;
  }

  // Zeros in `all` outside this query's keys.
  void clear_outside(float* x, Keys all) const {
    const auto clear = [&](int64_t from, int64_t to) {
      each_chunk(from, to, [&](int64_t chunk, int64_t first, int64_t last) {
        for (int64_t k = first; k < last; ++k)
          x[chunk * b_.chunk_stride + row_ * kRowStride + k] = 0;
      });
    };
    if (keys_.first >= keys_.last) return clear(all.first, all.last);
    clear(all.first, keys_.first);
    clear(keys_.last, all.last);
  }

  // Multipliers of this query's keys, at their numbers.
  const float* draw_dropout() const {
    const AttentionDropout& d = a_.dropout;
    if (d.p == 0 || keys_.first >= keys_.last) return nullptr;
    const int64_t line = (d.query_positions[query_] * a_.heads + a_.head) * d.span;
    // Keys at neighbouring positions take neighbouring draws.
    for (int64_t k = keys_.first; k < keys_.last;) {
      int64_t n = 1;
      while (k + n < keys_.last && d.key_positions[k + n] == d.key_positions[k] + n) ++n;
      dropout(nullptr, b_.line + k, n, d.p, d.seed, *d.streams,
              uint64_t(line + d.key_positions[k]));
      k += n;
    }
    return b_.line;
  }

  // Scores become e^(score - max), zeros if there is no key to see. Returns the max. Scores that
  // are no numbers, or all -infinity, make NaN of all.
  float exponentiate(float* scores, bool sees_a_key, float* sum) const {
    if (!sees_a_key) {
      *sum = 0;
      each([&](int64_t at, int64_t, int64_t first, int64_t last) {
        for (int64_t k = first; k < last; ++k) scores[at + k] = 0;
      });
      return 0;
    }
    Vec most = broadcast(kHidden);
    each([&](int64_t at, int64_t, int64_t first, int64_t last) {
      const float* s = scores + at;
      int64_t k = first;
      for (; k + kLanes <= last; k += kLanes) most = larger(load(s + k), most);
      const int64_t n = last - k;
      if (n > 0) most = larger(first_lanes(load_part(s + k, n), n, broadcast(kHidden)), most);
    });
    const float max = largest_lane(most);
    Vec total = {};
    each([&](int64_t at, int64_t, int64_t first, int64_t last) {
      float* s = scores + at;
      int64_t k = first;
      for (; k + kLanes <= last; k += kLanes) {
        const Vec e = exp(load(s + k) - max);
        total += e;
        store(s + k, e);
      }
      if (k == last) return;
      const int64_t n = last - k;
      const Vec e = exp(load_part(s + k, n) - max);
      store_part(s + k, e, n);
      total += first_lanes(e, n, Vec{});
    });
    *sum = sum_lanes(total);
    if (!(*sum > 0)) *sum = __builtin_nanf("");
    return max;
  }

  void multiply(float* x, const float* line) const {
    if (line == nullptr) return;
    each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) x[at + k] *= line[chunk + k];
    });
  }

  // From scores and the slopes of the dropped weights: the dropped weights, and the scores' slopes
  // times `scale`. With p = e^(s - lse) and multipliers m: p m, and p (m dp - sum of p m dp). The
  // sum is of these very numbers, so that a query with one key has a slope of exactly 0.
  void differentiate(float* scores, float* slopes, const float* line, float lse) const {
    Vec sum = {};
    each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; k += kLanes) {
        const int64_t n = last - k;
        Vec slope = load_part(slopes + at + k, n);
        if (line != nullptr) slope = slope * load_part(line + chunk + k, n);
        const Vec p = exp(load_part(scores + at + k, n) - lse);
        store_part(scores + at + k, p, n);
        store_part(slopes + at + k, slope, n);
        sum = fma(load_part(scores + at + k, n), slope, sum);  // p may be anything beyond the part
      }
    });
    const float mean = sum_lanes(sum);
    each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; k += kLanes) {
        const int64_t n = last - k;
        const Vec p = load_part(scores + at + k, n);
        store_part(slopes + at + k, p * (load_part(slopes + at + k, n) - mean) * a_.scale, n);
        if (line != nullptr) store_part(scores + at + k, p * load_part(line + chunk + k, n), n);
      }
    });
  }

 private:
  void hide_keys(float* scores) const {
    const int64_t own = a_.own == nullptr ? -1 : a_.own[query_];
    float* seen = scores + row_ * kRowStride;
    if (own >= 0) seen += own / kDepth * b_.chunk_stride + own % kDepth;
    const float score = own >= 0 ? *seen : 0;
    each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; k += kLanes) {
        const int64_t n = last - k;
        const Vec hidden = load_part(a_.hidden + chunk + k, n);
        const Vec s = load_part(scores + at + k, n);
        store_part(scores + at + k, hidden != 0.0f ? broadcast(kHidden) : s, n);
      }
    });
    if (own >= 0) *seen = score;
  }

  const AttentionHead& a_;
  const Lines& b_;
  int64_t query_, row_;
  Keys keys_ = {0, 0};
};

}  // namespace
}  // namespace FATHOM_ISA
}  // namespace fathom
