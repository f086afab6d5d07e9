#include "fathom/kernels/simd/attention_products.h"

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
    spread(a, b, b.slopes, block, block_rows, block_keys, {b.queries, kBlockRows}, D, b.d_keys, D);
    spread(a, b, b.weights, block, block_rows, block_keys, {b.d_outs, kBlockRows}, E, b.d_values,
           E);
  }
  write(b.d_keys, D, a.K, a.D, a.d_k, a.d_k_row);
  write(b.d_values, E, a.K, a.E, a.d_v, a.d_v_row);
}

}  // namespace FATHOM_ISA
}  // namespace fathom
