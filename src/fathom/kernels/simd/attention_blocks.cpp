// Attention of other forms (kernels/attention_form.h), a block of a head's queries at a time.
#include "fathom/kernels/simd/attention_products.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {

struct BlockBuffers : Lines {
  BlockBuffers(const AttentionHead& a, const AttentionBlock& block, float* memory) {
    Memory m(memory);
    const int64_t chunks = (whole(a.K, kPanel) + kDepth - 1) / kDepth;
    chunk_stride = block.chunk_stride;
    query_rows = m.take(kTileRows * kRowStride);
    weights = m.take(chunks * chunk_stride);  // of a tile, as far apart as those of a block
    line = m.take(a.dropout.p > 0 ? a.K : 0);
    d_scores = m.take(chunks * chunk_stride);
    rows = m.take(kScoreBlockRows * kRowStride);
    panels = m.take(kScoreBlockRows * whole(greater(a.D, a.E), kPanel));
    size = m.used();
  }

  int64_t size = 0;
  float* d_scores = nullptr;  // of a block
  float* rows = nullptr;      // row buffers of a block
  float* panels = nullptr;    // a block's rows as panels, kScoreBlockRows deep
};

// f(first, rows, the keys that they see) for each tile of the block's queries.
template <class F>
void each_tile(const AttentionHead& a, const AttentionBlock& block, const F& f) {
  for (int64_t first = 0; first < block.rows; first += kTileRows) {
    const int64_t rows = lesser(kTileRows, block.rows - first), query = block.query + first;
    f(first, rows, keys_of(a, query, query + rows));
  }
}

float ln_of_keys_seen(const AttentionHead& a, const Row& row, const float* scores) {
  int64_t n = 0;
  row.each([&](int64_t at, int64_t, int64_t first, int64_t last) {
    if (a.hidden == nullptr && a.blocked == nullptr)
      n += last - first;
    else
      for (int64_t k = first; k < last; ++k) n += scores[at + k] == kHidden ? 0 : 1;
  });
  return std::log(static_cast<float>(greater(n, 1)));
}

// 0 for a hidden key, whose e^-score is infinite.
[[gnu::always_inline]] inline Vec sigmoid(Vec score, float ln_keys) {
  return 1.0f / (exp(ln_keys - score) + 1.0f);
}

// Scores become weights but for the factor that it returns.
float weigh(const AttentionHead& a, const Row& row, float* scores, float* lse) {
  const bool sees_a_key = row.hide(scores);
  if (a.sigmoid) {
    const float ln_keys = ln_of_keys_seen(a, row, scores);
    row.each([&](int64_t at, int64_t, int64_t first, int64_t last) {
      for (int64_t k = first; k < last; k += kLanes) {
        const int64_t n = last - k;
        store_part(scores + at + k, sigmoid(load_part(scores + at + k, n), ln_keys), n);
      }
    });
    return 1;
  }
  float sum = 0;
  const float max = row.exponentiate(scores, sees_a_key, &sum);
  // May be infinite: beside such a sink the weights are 0.
  const float total = a.sink ? sum + std::exp(-max) : sum;
  const bool below = a.sink && max < 0;
  if (lse != nullptr && !sees_a_key)
    *lse = kNoKey;
  else if (lse != nullptr)
    *lse = below ? std::log(1.0f + sum * std::exp(max)) : max + std::log(total);
  return sees_a_key ? 1 / total : 0;
}

// The row's `from` times factor, added to what `to` has or not.
void give(const Row& row, const float* from, float factor, bool add, float* to) {
  row.each([&](int64_t at, int64_t, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k += kLanes) {
      const int64_t n = last - k;
      const Vec x = load_part(from + at + k, n) * factor;
      store_part(to + at + k, add ? load_part(to + at + k, n) + x : x, n);
    }
  });
}

// From scores and the slopes of the dropped weights: the dropped weights, and the scores' slopes.
// As Row::differentiate, where it says how; `slopes` stay.
void differentiate_softmax(const AttentionHead& a, const Row& row, float* scores,
                           const float* slopes, const float* line, float lse, float* d_scores) {
  Vec sum = {};
  row.each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k += kLanes) {
      const int64_t n = last - k;
      Vec slope = load_part(slopes + at + k, n);
      if (line != nullptr) slope = slope * load_part(line + chunk + k, n);
      store_part(scores + at + k, exp(load_part(scores + at + k, n) - lse), n);
      store_part(d_scores + at + k, slope, n);
      sum = fma(load_part(scores + at + k, n), slope, sum);
    }
  });
  const float mean = sum_lanes(sum);
  row.each([&](int64_t at, int64_t, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k += kLanes) {
      const int64_t n = last - k;
      const Vec p = load_part(scores + at + k, n);
      store_part(d_scores + at + k, p * (load_part(d_scores + at + k, n) - mean) * a.scale, n);
    }
  });
  row.multiply(scores, line);
}

void differentiate_sigmoid(const AttentionHead& a, const Row& row, float* scores,
                           const float* slopes, const float* line, float* d_scores) {
  const float ln_keys = ln_of_keys_seen(a, row, scores);
  row.each([&](int64_t at, int64_t chunk, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k += kLanes) {
      const int64_t n = last - k;
      Vec slope = load_part(slopes + at + k, n);
      if (line != nullptr) slope = slope * load_part(line + chunk + k, n);
      const Vec w = sigmoid(load_part(scores + at + k, n), ln_keys);
      store_part(scores + at + k, w, n);
      store_part(d_scores + at + k, w * (1.0f - w) * slope * a.scale, n);
    }
  });
  row.multiply(scores, line);
}

// Columns of the block's rows as panels.
Panels pack_rows(const float* x, int64_t x_row, const AttentionBlock& block, int64_t columns,
                 float* panels) {
  for (int64_t j = 0; j < columns; j += kPanel)
    pack_panel_straight(x + block.query * x_row + j, x_row, block.rows, lesser(kPanel, columns - j),
                        panels + j * kScoreBlockRows);
  return {panels, kScoreBlockRows};
}

}  // namespace

size_t block_scratch(const AttentionHead& a, const AttentionBlock& block) {
  return size_t(BlockBuffers(a, block, nullptr).size);
}

void block_weights(const AttentionHead& a, const AttentionBlock& block, float* memory) {
  const BlockBuffers b(a, block, memory);
  each_tile(a, block, [&](int64_t first, int64_t rows, Keys keys) {
    const int64_t query = block.query + first;
    float* weights = block.weights + first * kRowStride;
    copy_rows(a.q + query * a.q_row, a.q_row, rows, a.D, a.scale, b.query_rows);
    if (block.keys_turned == nullptr)
      score_in_place(a, b, rows, keys);
    else
      score(b, b.query_rows, block.keys_turned, rows, a.D, keys, b.weights, 0);
    for (int64_t i = 0; i < rows; ++i) {
      const Row row(a, b, query + i, i);
      const float factor = weigh(a, row, b.weights, a.lse == nullptr ? nullptr : a.lse + query + i);
      row.multiply(b.weights, row.draw_dropout());
      give(row, b.weights, factor * a.share, block.add, weights);
      if (!block.add) row.clear_outside(weights, {block.first, block.last});
    }
  });
}

void block_mix(const AttentionHead& a, const AttentionBlock& block) {
  Lines b;
  b.chunk_stride = block.chunk_stride;
  float* out = a.out + block.query * a.out_row;
  if (block.values == nullptr) {
    for (int64_t i = 0; i < block.rows; ++i)
      mix_in_place(a, Row(a, b, block.query + i, i), block.weights, out + i * a.out_row);
    return;
  }
  for (int64_t j = 0; j < a.E; j += kPanel)
    each_tile(a, block, [&](int64_t first, int64_t rows, Keys keys) {
      const int64_t columns = lesser(kPanel, a.E - j);
      float* c = out + first * a.out_row + j;
      for (int64_t i = 0; i < rows && keys.first == keys.last; ++i)
        clear(c + i * a.out_row, columns);
      mix(b, block.weights, first, rows, keys, a.K, block.values + j * a.K, c, a.out_row, columns);
    });
}

void block_slopes(const AttentionHead& a, const AttentionBlock& block, float* memory) {
  const BlockBuffers b(a, block, memory);
  Keys seen[kScoreBlockRows / kTileRows] = {};
  each_tile(a, block, [&](int64_t first, int64_t, Keys keys) { seen[first / kTileRows] = keys; });
  for (int64_t e = 0; e < a.E; e += kDepth) {
    const int64_t depth = lesser(kDepth, a.E - e);
    const float* panels = block.values + whole(a.K, kPanel) * e;
    copy_rows(a.d_out + block.query * a.d_out_row + e, a.d_out_row, block.rows, depth, a.share,
              b.rows);
    TileResult result;
    result.add = e > 0;
    for (int64_t key = block.first / kPanel * kPanel; key < block.last; key += kPanel)
      for (int64_t first = 0; first < block.rows; first += kTileRows) {
        const Keys keys = seen[first / kTileRows];
        if (key >= keys.last || key + kPanel <= keys.first) continue;
        float* c =
            block.slopes + key / kDepth * block.chunk_stride + first * kRowStride + key % kDepth;
        any_tile<kByRow>(lesser(kTileRows, block.rows - first), b.rows + first * kRowStride, 1,
                         panels + key * depth, depth, result, c, kRowStride, kPanel);
      }
  }
}

void block_backward(const AttentionHead& a, const AttentionBlock& block, float* memory) {
  const BlockBuffers b(a, block, memory);
  const Keys block_keys = {block.first, block.last};
  const int64_t D = whole(a.D, kPanel);
  each_tile(a, block, [&](int64_t first, int64_t rows, Keys keys) {
    const int64_t query = block.query + first, at = first * kRowStride;
    float *weights = block.weights + at, *d_scores = b.d_scores + at;
    copy_rows(a.q + query * a.q_row, a.q_row, rows, a.D, a.scale, b.query_rows);
    score(b, b.query_rows, block.keys_turned, rows, a.D, keys, b.weights, 0);
    for (int64_t i = 0; i < rows; ++i) {
      const Row row(a, b, query + i, i);
      row.hide(b.weights);
      const float* line = row.draw_dropout();
      if (a.sigmoid)
        differentiate_sigmoid(a, row, b.weights, block.slopes + at, line, d_scores);
      else
        differentiate_softmax(a, row, b.weights, block.slopes + at, line, a.lse[query + i],
                              d_scores);
      give(row, b.weights, a.share, block.add, weights);
      if (!block.add) row.clear_outside(weights, block_keys);
      row.clear_outside(d_scores, block_keys);
    }
    float* d_q = a.d_q + query * a.d_q_row;
    for (int64_t i = 0; i < rows && keys.first == keys.last; ++i) clear(d_q + i * a.d_q_row, a.D);
    mix(b, b.d_scores, first, rows, keys, a.K, block.keys_straight, d_q, a.d_q_row, a.D);
  });
  const Panels queries = pack_rows(a.q, a.q_row, block, a.D, b.panels);
  spread(a, b, b.d_scores, block.query, block.rows, block_keys, queries, D, block.d_keys, D);
}

void block_spread(const AttentionHead& a, const AttentionBlock& block, float* memory) {
  const BlockBuffers b(a, block, memory);
  const Panels d_outs = pack_rows(a.d_out, a.d_out_row, block, a.E, b.panels);
  spread(a, b, block.weights, block.query, block.rows, {block.first, block.last}, d_outs, a.E,
         a.d_v, a.d_v_row);
}

}  // namespace FATHOM_ISA
}  // namespace fathom
