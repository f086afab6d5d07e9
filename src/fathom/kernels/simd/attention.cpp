#include "fathom/kernels/simd/attention_rows.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {

// Columns of a matrix, `rows` deep, as panels.
void pack_straight(const float* x, int64_t x_row, int64_t rows, int64_t columns, float* panels) {
  for (int64_t j = 0; j < columns; j += kPanel, panels += rows * kPanel)
    pack_panel_straight(x + j, x_row, rows, lesser(kPanel, columns - j), panels);
}

// Rows of a matrix, `columns` long, as columns of panels.
void pack_turned(const float* x, int64_t x_row, int64_t rows, int64_t columns, float* panels) {
  for (int64_t j = 0; j < rows; j += kPanel, panels += columns * kPanel)
    pack_panel_turned(x + j * x_row, x_row, columns, lesser(kPanel, rows - j), panels);
}

// Products of the row buffer's rows with keys [first, last), the first key rounded down to a panel
// and the last one up, into `scores` from row `row` on.
void score(const Buffers& b, const float* rows_of_a, const float* panels, int64_t rows,
           int64_t width, Keys keys, float* scores, int64_t row) {
  for (int64_t key = keys.first / kPanel * kPanel; key < keys.last; key += kPanel) {
    float* c = scores + key / kDepth * b.chunk_stride + row * kRowStride + key % kDepth;
    any_tile<kByRow>(rows, rows_of_a, 1, panels + key * width, width, {}, c, kRowStride, kPanel);
  }
}

// c (rows, columns) = the rows of `weights` from `row` on, keys [first, last), times panels.
void mix(const Buffers& b, const float* weights, int64_t row, int64_t rows, Keys keys, int64_t K,
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
void score_in_place(const AttentionHead& a, const Buffers& b, int64_t rows, Keys keys) {
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

// d (K, columns), rows `width` apart, += weights^T times the block's panels, from each key's first
// query that sees it to the last one.
void spread(const AttentionHead& a, const Buffers& b, const float* weights, int64_t query,
            int64_t rows, Keys keys, const float* panels, int64_t columns, float* d) {
  const int64_t width = whole(columns, kPanel);
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
      for (int64_t j = 0; j < width; j += kPanel)
        any_tile<kByColumn>(n, weights + chunk * b.chunk_stride + begin * kRowStride + key,
                            kRowStride, panels + j * kBlockRows + begin * kPanel, end - begin,
                            result, d + from * width + j, width, kPanel);
    }
  });
}

void write(const float* x, int64_t x_row, int64_t rows, int64_t columns, float* to,
           int64_t to_row) {
  for (int64_t i = 0; i < rows; ++i, x += x_row, to += to_row)
    for (int64_t j = 0; j < columns; j += kLanes)
      store_part(to + j, load_part(x + j, columns - j), columns - j);
}

}  // namespace

size_t attention_scratch(const AttentionHead& head) {
  return size_t(Buffers(head, head.backward, nullptr).size);
}

void attention_forward(const AttentionHead& a, float* memory) {
  const Buffers b(a, /*backward=*/false, memory);
  const int64_t E = whole(a.E, kPanel);
  const bool in_place = reads_in_place(a);
  if (!in_place) {
    if (a.k_channel == 1)
      pack_turned(a.k, a.k_row, a.K, a.D, b.keys_turned);
    else
      pack_straight(a.k, a.k_channel, a.D, a.K, b.keys_turned);
    pack_straight(a.v, a.v_row, a.K, a.E, b.values);
  }
  for (int64_t query = 0; query < a.Q; query += kTileRows) {
    const int64_t rows = lesser(kTileRows, a.Q - query);
    const Keys keys = keys_of(a, query, query + rows);
    copy_rows(a.q + query * a.q_row, a.q_row, rows, a.D, a.scale, b.query_rows);
    if (in_place)
      score_in_place(a, b, rows, keys);
    else
      score(b, b.query_rows, b.keys_turned, rows, a.D, keys, b.weights, 0);
    float sums[kTileRows];
    for (int64_t i = 0; i < rows; ++i) {
      const Row row(a, b, query + i, i);
      const bool sees_a_key = row.hide(b.weights);
      const float max = row.exponentiate(b.weights, sees_a_key, &sums[i]);
      if (a.lse != nullptr) a.lse[query + i] = sees_a_key ? max + std::log(sums[i]) : kNoKey;
      row.clear_outside(b.weights, keys);
      row.multiply(b.weights, row.draw_dropout());
      if (in_place) mix_in_place(a, row, b.weights, b.out + i * E);
    }
    if (!in_place && keys.first == keys.last) clear(b.out, rows * E);
    if (!in_place) mix(b, b.weights, 0, rows, keys, a.K, b.values, b.out, E, E);
    for (int64_t i = 0; i < rows; ++i) {
      const float factor = sums[i] == 0 ? 0 : 1 / sums[i];
      float* out = a.out + (query + i) * a.out_row;
      for (int64_t j = 0; j < a.E; j += kLanes)
        store_part(out + j, load(b.out + i * E + j) * factor, a.E - j);
    }
  }
}

void attention_backward(const AttentionHead& a, float* memory) {
  const Buffers b(a, /*backward=*/true, memory);
  const int64_t D = whole(a.D, kPanel), E = whole(a.E, kPanel);
  pack_turned(a.k, a.k_row, a.K, a.D, b.keys_turned);
  pack_turned(a.v, a.v_row, a.K, a.E, b.values_turned);
  pack_straight(a.k, a.k_row, a.K, a.D, b.keys_straight);
  clear(b.d_keys, a.K * D);
  clear(b.d_values, a.K * E);
  for (int64_t block = 0; block < a.Q; block += kBlockRows) {
    const int64_t block_rows = lesser(kBlockRows, a.Q - block);
    const Keys block_keys = keys_of(a, block, block + block_rows);
    for (int64_t first = 0; first < block_rows; first += kTileRows) {
      const int64_t rows = lesser(kTileRows, block_rows - first), query = block + first;
      const Keys keys = keys_of(a, query, query + rows);
      copy_rows(a.q + query * a.q_row, a.q_row, rows, a.D, a.scale, b.query_rows);
      copy_rows(a.d_out + query * a.d_out_row, a.d_out_row, rows, a.E, 1.0f, b.d_out_rows);
      score(b, b.query_rows, b.keys_turned, rows, a.D, keys, b.weights, first);
      score(b, b.d_out_rows, b.values_turned, rows, a.E, keys, b.slopes, first);
      for (int64_t i = 0; i < rows; ++i) {
        const Row row(a, b, query + i, first + i);
        row.hide(b.weights);
        row.differentiate(b.weights, b.slopes, row.draw_dropout(), a.lse[query + i]);
        row.clear_outside(b.weights, block_keys);
        row.clear_outside(b.slopes, block_keys);
      }
      float* d_q = a.d_q + query * a.d_q_row;
      for (int64_t i = 0; i < rows && keys.first == keys.last; ++i) clear(d_q + i * a.d_q_row, a.D);
      mix(b, b.slopes, first, rows, keys, a.K, b.keys_straight, d_q, a.d_q_row, a.D);
    }
    for (int64_t j = 0; j < a.D; j += kPanel)
      pack_panel_straight(a.q + block * a.q_row + j, a.q_row, block_rows, lesser(kPanel, a.D - j),
                          b.queries + j * kBlockRows);
    for (int64_t j = 0; j < a.E; j += kPanel)
      pack_panel_straight(a.d_out + block * a.d_out_row + j, a.d_out_row, block_rows,
                          lesser(kPanel, a.E - j), b.d_outs + j * kBlockRows);
    spread(a, b, b.slopes, block, block_rows, block_keys, b.queries, a.D, b.d_keys);
    spread(a, b, b.weights, block, block_rows, block_keys, b.d_outs, a.E, b.d_values);
  }
  write(b.d_keys, D, a.K, a.D, a.d_k, a.d_k_row);
  write(b.d_values, E, a.K, a.E, a.d_v, a.d_v_row);
}

}  // namespace FATHOM_ISA
}  // namespace fathom
