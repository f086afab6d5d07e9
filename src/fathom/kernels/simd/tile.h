// The innermost part of every matrix product: a tile of C, kept in registers, is the product of a
// few rows of A with a panel of B. Internal to kernels/simd.
//
// A panel holds kPanel columns of B, row by row: panel[k * kPanel + j].
//
// Every element of C is a sum of sums over kDepth elements each, in order, by fused multiply-adds
// where there are any. So its bits depend neither on the rows and columns beside it nor on how the
// work is divided.
#pragma once

#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {

// As many rows as leave registers for two vectors of B and one element of A.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kPanel = 2 * kLanes;
// At most so much of k at a time: 14 rows of A then leave room in a first-level cache of 32 KiB.
constexpr int64_t kDepth = 384;
// Of a buffer of rows of A. Not a power of two: the rows would share the cache's few places for
// their address bits.
constexpr int64_t kRowStride = kDepth + 16;
// Queries of a block in attention of other forms: whole tiles.
constexpr int64_t kScoreBlockRows = 56 / kTileRows * kTileRows;

// Only ever indexed by constants, or they would lie in memory.
template <int kRows>
struct Accumulators {
  Vec at[kRows][2];
};

// at[i][:] += sum over k of a[i * kRow + k * a_k] * panel[k][:]
template <int kRows, int64_t kRow>
[[gnu::always_inline]] static inline void multiply(Accumulators<kRows>& c, const float* a,
                                                   int64_t a_k, const float* panel, int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    const Vec b0 = load(panel), b1 = load(panel + kLanes);
    // The panel streams from the second-level cache.
    __builtin_prefetch(panel + 8 * kPanel);
    if (kPanel * sizeof(float) > 64) __builtin_prefetch(panel + 8 * kPanel + kLanes);
#pragma GCC unroll 14
    for (int i = 0; i < kRows; ++i) {
      // As deep as the buffer was filled, which the analyser does not see.
      const Vec x = broadcast(a[i * kRow]);  // NOLINT(clang-analyzer-core.CallAndMessage)
      c.at[i][0] = fma(x, b0, c.at[i][0]);
      c.at[i][1] = fma(x, b1, c.at[i][1]);
    }
    a += a_k;
    panel += kPanel;
  }
}

struct TileResult {
  bool add = false;             // to what C has
  const float* bias = nullptr;  // that the sums begin with, of the tile's columns; null: 0
};

template <int kRows>
[[gnu::always_inline]] static inline void begin(Accumulators<kRows>& acc, const float* bias,
                                                int64_t columns) {
  Vec b0 = {}, b1 = {};
  if (bias != nullptr) {
    b0 = load_part(bias, columns);
    if (columns > kLanes) b1 = load_part(bias + kLanes, columns - kLanes);
  }
#pragma GCC unroll 14
  for (int i = 0; i < kRows; ++i) acc.at[i][0] = b0, acc.at[i][1] = b1;
}

template <int kRows>
[[gnu::always_inline]] static inline void finish(const Accumulators<kRows>& acc, bool add, float* c,
                                                 int64_t c_row, int64_t columns) {
  if (columns >= kPanel) {
#pragma GCC unroll 14
    for (int i = 0; i < kRows; ++i) {
      float* row = c + i * c_row;
      store(row, add ? load(row) + acc.at[i][0] : acc.at[i][0]);
      store(row + kLanes, add ? load(row + kLanes) + acc.at[i][1] : acc.at[i][1]);
    }
    return;
  }
#pragma GCC unroll 14
  for (int i = 0; i < kRows; ++i) {
    float* row = c + i * c_row;
    store_part(row, add ? load_part(row, columns) + acc.at[i][0] : acc.at[i][0], columns);
    const int64_t n = columns - kLanes;
    if (n <= 0) continue;
    row += kLanes;
    store_part(row, add ? load_part(row, n) + acc.at[i][1] : acc.at[i][1], n);
  }
}

// C (kRows, columns <= kPanel).
template <int kRows, int64_t kRow>
static void tile(const float* a, int64_t a_k, const float* panel, int64_t depth,
                 const TileResult& result, float* c, int64_t c_row, int64_t columns) {
  Accumulators<kRows> acc;
  begin(acc, result.bias, columns);
  multiply<kRows, kRow>(acc, a, a_k, panel, depth);
  finish(acc, result.add, c, c_row, columns);
}

// The same for any number of rows up to kTileRows.
template <int64_t kRow, int kRows = kTileRows>
static void any_tile(int64_t rows, const float* a, int64_t a_k, const float* panel, int64_t depth,
                     const TileResult& result, float* c, int64_t c_row, int64_t columns) {
  if (rows == kRows) return tile<kRows, kRow>(a, a_k, panel, depth, result, c, c_row, columns);
  if constexpr (kRows > 1)
    any_tile<kRow, kRows - 1>(rows, a, a_k, panel, depth, result, c, c_row, columns);
}

// A row times several panels at once: its sums are chains of additions that wait for one another,
// and more of them are under way like this. The same bits as `tile` of one row and each of the
// whole panels, `depth` * kPanel apart.
template <int kPanels>
static inline void panels_of_a_row(const float* a, const float* panels, int64_t depth,
                                   const TileResult& result, float* c) {
  Accumulators<1> acc[kPanels];
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p)
    begin(acc[p], result.bias == nullptr ? nullptr : result.bias + p * kPanel, kPanel);
  for (int64_t k = 0; k < depth; ++k) {
    const Vec x = broadcast(a[k]);
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      const float* b = panels + (p * depth + k) * kPanel;
      acc[p].at[0][0] = fma(x, load(b), acc[p].at[0][0]);
      acc[p].at[0][1] = fma(x, load(b + kLanes), acc[p].at[0][1]);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < kPanels; ++p) finish(acc[p], result.add, c + p * kPanel, 0, kPanel);
}

// A's rows as they lie in a row buffer, kRowStride apart (a_k = 1), and its columns one behind the
// other (element k of row i at i + k * a_k).
constexpr int64_t kByRow = kRowStride, kByColumn = 1;

// A block of lanes x lanes, rows and columns exchanged.
[[gnu::always_inline]] static inline void transpose(Vec (&v)[kLanes]) {
  // Each stage exchanges the off-diagonal halves of blocks of twice the size.
#pragma GCC unroll 8
  for (int half = 1; half < kLanes; half *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i & half) continue;
      const Vec a = v[i], b = v[i + half];
      IntVec low, high;
#pragma GCC unroll 16
      for (int l = 0; l < kLanes; ++l) {
        low[l] = (l & half) ? kLanes + l - half : l;
        high[l] = (l & half) ? kLanes + l : l + half;
      }
#if defined(__clang__)
      for (int l = 0; l < kLanes; ++l) {
        v[i][l] = low[l] < kLanes ? a[low[l]] : b[low[l] - kLanes];
        v[i + half][l] = high[l] < kLanes ? a[high[l]] : b[high[l] - kLanes];
      }
#else
      v[i] = __builtin_shuffle(a, b, low);
      v[i + half] = __builtin_shuffle(a, b, high);
#endif
    }
  }
}

// Of every 16 bytes of a (numbers 0 to 3) and b (4 to 7) the four floats that are named.
[[gnu::always_inline]] static inline Vec pick(Vec a, Vec b, const int (&which)[4]) {
#if defined(__clang__)
  Vec out;
  for (int l = 0; l < kLanes; ++l) {
    const int from = which[l % 4];
    out[l] = from < 4 ? a[l / 4 * 4 + from] : b[l / 4 * 4 + from - 4];
  }
  return out;
#else
  IntVec from;
#pragma GCC unroll 16
  for (int l = 0; l < kLanes; ++l)
    from[l] = l / 4 * 4 + which[l % 4] + (which[l % 4] < 4 ? 0 : kLanes - 4);
  return __builtin_shuffle(a, b, from);
#endif
}

// The first 16 bytes of rows i, i + 4, i + 8, ... `at(i)` is where row i is.
template <class Rows>
[[gnu::always_inline]] static inline Vec load_quads(const Rows& at, int i) {
#if defined(__AVX512F__)
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(at(i)));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(at(i + 4)), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(at(i + 8)), 2);
  return reinterpret_cast<Vec>(_mm512_insertf32x4(v, _mm_loadu_ps(at(i + 12)), 3));
#elif defined(__AVX2__)
  const __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(at(i)));
  return reinterpret_cast<Vec>(_mm256_insertf128_ps(v, _mm_loadu_ps(at(i + 4)), 1));
#else
  static_assert(kLanes == 4, "one row");
  return load(at(i));
#endif
}

// Four columns of kLanes rows: out[c][i] = at(i)[c]. A fraction of what it costs to exchange rows
// and columns of as many whole vectors: shuffles stay within 16 bytes.
template <class Rows>
[[gnu::always_inline]] static inline void load_four_columns(const Rows& at, Vec (&out)[4]) {
  const Vec r0 = load_quads(at, 0), r1 = load_quads(at, 1), r2 = load_quads(at, 2),
            r3 = load_quads(at, 3);
  const Vec a = pick(r0, r1, {0, 4, 1, 5}), b = pick(r0, r1, {2, 6, 3, 7});
  const Vec c = pick(r2, r3, {0, 4, 1, 5}), d = pick(r2, r3, {2, 6, 3, 7});
  out[0] = pick(a, c, {0, 1, 4, 5});
  out[1] = pick(a, c, {2, 3, 6, 7});
  out[2] = pick(b, d, {0, 1, 4, 5});
  out[3] = pick(b, d, {2, 3, 6, 7});
}

// One panel of B: `depth` rows and `columns` <= kPanel columns, zeros beyond; element (k, j) is at
// b[k * b_k + j].
static inline void pack_panel_straight(const float* b, int64_t b_k, int64_t depth, int64_t columns,
                                       float* panel) {
  for (int64_t k = 0; k < depth; ++k, b += b_k, panel += kPanel) {
    if (columns >= kPanel) {
      store(panel, load(b));
      store(panel + kLanes, load(b + kLanes));
    } else {
      store(panel, load_part(b, columns));
      store(panel + kLanes, columns > kLanes ? load_part(b + kLanes, columns - kLanes) : Vec{});
    }
  }
}

// The same; element (k, j) is at b[k + j * b_column].
static inline void pack_panel_turned(const float* b, int64_t b_column, int64_t depth,
                                     int64_t columns, float* panel) {
  int64_t first = 0;
  if (columns >= kPanel)
    for (; first + 4 <= depth; first += 4)
      for (int part = 0; part < 2; ++part) {
        Vec v[4];
        const float* rows = b + part * kLanes * b_column + first;
        load_four_columns([=](int i) { return rows + i * b_column; }, v);
        for (int i = 0; i < 4; ++i) store(panel + (first + i) * kPanel + part * kLanes, v[i]);
      }
  for (int64_t k = first; k < depth; k += kLanes) {
    const int64_t n = depth - k < kLanes ? depth - k : kLanes;
    for (int part = 0; part < 2; ++part) {
      Vec v[kLanes];
      for (int j = 0; j < kLanes; ++j) {
        const int64_t column = part * kLanes + j;
        v[j] = column < columns ? load_part(b + column * b_column + k, n) : Vec{};
      }
      transpose(v);
      for (int64_t i = 0; i < n; ++i) store(panel + (k + i) * kPanel + part * kLanes, v[i]);
    }
  }
}

// Rows of A, `depth` floats each, into a row buffer.
static inline void copy_rows(const float* a, int64_t a_row, int64_t rows, int64_t depth,
                             float scale, float* buffer) {
  for (int64_t i = 0; i < rows; ++i, a += a_row, buffer += kRowStride) {
    int64_t k = 0;
    for (; k + kLanes <= depth; k += kLanes) store(buffer + k, load(a + k) * scale);
    store_part(buffer + k, load_part(a + k, depth - k) * scale, depth - k);
  }
}

}  // namespace FATHOM_ISA
}  // namespace fathom
