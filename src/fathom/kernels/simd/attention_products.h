// Products of a head's attention, made of tiles. Internal to kernels/simd.
#pragma once

#include "fathom/kernels/simd/attention_rows.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {  // no weak symbols

// Products of the row buffer's rows with keys [first, last), the first key rounded down to a panel
// and the last one up, into `scores` from row `row` on.
void score(const Lines& b, const float* rows_of_a, const float* panels, int64_t rows, int64_t width,
           Keys keys, float* scores, int64_t row) {
  for (int64_t key = keys.first / kPanel * kPanel; key < keys.last; key += kPanel) {
    float* c = scores + key / kDepth * b.chunk_stride + row * kRowStride + key % kDepth;
    any_tile<kByRow>(rows, rows_of_a, 1, panels + key * width, width, {}, c, kRowStride, kPanel);
  }
}

// c (rows, columns) = the rows of `weights` from `row` on, keys [first, last), times panels.
void mix(const Lines& b, const float* weights, int64_t row, int64_t rows, Keys keys, int64_t K,
         const float* panels, float* c, int64_t c_row, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kPanel, panels += K * kPanel)
    each_chunk(keys.first, keys.last, [&](int64_t chunk, int64_t first, int64_t last) {
      TileResult result;
      result.add = chunk > keys.first / kDepth;
      any_tile<kByRow>(rows, weights + chunk * b.chunk_stride + row * kRowStride + first, 1,
                       panels + (chunk * kDepth + first) * kPanel, last - first, result, c + j,
                       c_row, lesser(kPanel, columns - j));
    });
}

// Vector i of kVecs, of which there are n floats, more than kVecs - 1 vectors.
template <int kVecs>
[[gnu::always_inline]] inline Vec load_of(const float* p, int i, int64_t n) {
  return i + 1 < kVecs ? load(p + i * kLanes) : load_part(p + i * kLanes, n - i * kLanes);
}

// Scores of q and kVecs * kLanes turned keys from `key` on, those beyond the last one as if they
// were zeros; as `score` has them, bit for bit.
template <int kVecs>
[[gnu::always_inline]] inline void score_some(const AttentionHead& a, const float* q, int64_t key,
                                              float* scores) {
  const float* k = a.k + key;
  const int64_t keys = a.K - key;
  Vec sums[kVecs] = {};
  for (int64_t d = 0; d < a.D; ++d, k += a.k_channel) {
    const Vec x = broadcast(q[d]);
#pragma GCC unroll 4
    for (int i = 0; i < kVecs; ++i) sums[i] = fma(x, load_of<kVecs>(k, i, keys), sums[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kVecs; ++i) store(scores + i * kLanes, sums[i]);
}

// Several vectors side by side, here and below: each sum is a chain of additions that wait for one
// another.
void score_in_place(const AttentionHead& a, const Lines& b, int64_t rows, Keys keys) {
  static_assert(kDepth % (4 * kLanes) == 0, "a chunk ends where four vectors do");
  for (int64_t i = 0; i < rows; ++i) {
    const float* q = b.query_rows + i * kRowStride;
    const auto at = [&](int64_t key) {
      return b.weights + key / kDepth * b.chunk_stride + i * kRowStride + key % kDepth;
    };
    int64_t key = keys.first / (4 * kLanes) * (4 * kLanes);
    for (; key + 3 * kLanes < keys.last; key += 4 * kLanes) score_some<4>(a, q, key, at(key));
    for (; key + kLanes < keys.last; key += 2 * kLanes) score_some<2>(a, q, key, at(key));
    if (key < keys.last) score_some<1>(a, q, key, at(key));
  }
}

// columns [0, kVecs * kLanes) of the weights' sum of values where they lie; as `mix` has it, bit
// for bit.
template <int kVecs>
[[gnu::always_inline]] inline void mix_some(const AttentionHead& a, const Row& row,
                                            const float* weights, int64_t column, float* out) {
  bool first_chunk = true;
  row.each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
    const float* v = a.v + (chunk + first) * a.v_row + column;
    const int64_t columns = a.E - column;
    Vec sums[kVecs] = {};
    for (int64_t k = first; k < last; ++k, v += a.v_row) {
      const Vec w = broadcast(weights[at + k]);
#pragma GCC unroll 4
      for (int i = 0; i < kVecs; ++i) sums[i] = fma(w, load_of<kVecs>(v, i, columns), sums[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kVecs; ++i) {
      float* to = out + i * kLanes;
      const int64_t n = columns - i * kLanes;
      store_part(to, first_chunk ? sums[i] : load_part(to, n) + sums[i], n);
    }
    first_chunk = false;
  });
}

void mix_in_place(const AttentionHead& a, const Row& row, const float* weights, float* out) {
  if (row.is_empty()) return clear(out, a.E);
  int64_t column = 0;
  for (; column + 3 * kLanes < a.E; column += 4 * kLanes)
    mix_some<4>(a, row, weights, column, out + column);
  for (; column + kLanes < a.E; column += 2 * kLanes)
    mix_some<2>(a, row, weights, column, out + column);
  if (column < a.E) mix_some<1>(a, row, weights, column, out + column);
}

// Queries' columns, kPanel at a time, `rows` deep.
struct Panels {
  const float* data;
  int64_t rows;
};

// d (K, columns), rows d_row apart, += weights^T times the block's panels, from each key's first
// query that sees it to the last one.
void spread(const AttentionHead& a, const Lines& b, const float* weights, int64_t query,
            int64_t rows, Keys keys, Panels panels, int64_t columns, float* d, int64_t d_row) {
  each_chunk(keys.first, keys.last, [&](int64_t chunk, int64_t first, int64_t last) {
    for (int64_t key = first; key < last; key += kTileRows) {
      const int64_t n = lesser(kTileRows, last - key), from = chunk * kDepth + key;
      const auto sees = [&](int64_t row) {
        const KeyRange r = a.ranges[query + row];
        return r.first < from + n && r.last > from;
      };
      int64_t begin = 0, end = rows;
      while (begin < end && !sees(begin)) ++begin;
      while (end > begin && !sees(end - 1)) --end;
      if (begin == end) continue;
      TileResult result;
      result.add = true;
      for (int64_t j = 0; j < columns; j += kPanel)
        any_tile<kByColumn>(n, weights + chunk * b.chunk_stride + begin * kRowStride + key,
                            kRowStride, panels.data + j * panels.rows + begin * kPanel, end - begin,
                            result, d + from * d_row + j, d_row, lesser(kPanel, columns - j));
    }
  });
}

}  // namespace
}  // namespace FATHOM_ISA
}  // namespace fathom
