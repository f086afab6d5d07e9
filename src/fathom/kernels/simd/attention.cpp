#include <cmath>

#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/tile.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {

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

struct Buffers {
  Buffers(const AttentionHead& a, bool backward, float* memory) {
    Memory m(memory);
    const int64_t keys = whole(a.K, kPanel), D = whole(a.D, kPanel), E = whole(a.E, kPanel);
    const int64_t chunks = (keys + kDepth - 1) / kDepth;
    const int64_t rows = backward ? kBlockRows : kTileRows;
    chunk_stride = rows * kRowStride;
    keys_turned = m.take(keys * a.D);
    query_rows = m.take(kTileRows * kRowStride);
    weights = m.take(chunks * chunk_stride);
    line = m.take(a.dropout.p > 0 ? a.K : 0);
    if (!backward) {
      values = m.take(a.K * E);
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

  int64_t chunk_stride = 0, size = 0;
  float *keys_turned = nullptr, *values_turned = nullptr;  // panels of keys, D and E deep
  float *keys_straight = nullptr, *values = nullptr;       // panels of channels, K deep
  float *query_rows = nullptr, *d_out_rows = nullptr;      // row buffers
  float *weights = nullptr, *slopes = nullptr;             // (chunks, rows, kRowStride)
  float *queries = nullptr, *d_outs = nullptr;             // panels of channels, kBlockRows deep
  float *d_keys = nullptr, *d_values = nullptr;            // (K, D) and (K, E), rows padded
  float *out = nullptr, *line = nullptr;
};

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

// One query's scores, to be worked on chunk by chunk.
class Row {
 public:
  Row(const AttentionHead& a, const Buffers& b, int64_t query, int64_t row)
      : a_(a), b_(b), query_(query), row_(row) {
    const KeyRange r = a.ranges[query];
    if (r.first < r.last) keys_ = {r.first, r.last};
  }

  // f(this query's part of the chunk in each of `buffers`, first, last)
  template <class F>
  [[gnu::always_inline]] void each(const F& f) const {
    each_chunk(keys_.first, keys_.last, [&](int64_t chunk, int64_t first, int64_t last) {
      f(chunk * b_.chunk_stride + row_ * kRowStride, chunk * kDepth, first, last);
    });
  }

  // True: a key is left to see.
  bool hide_blocked(float* scores) const {
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
      fill_dropout(b_.line + k, n, d.p, d.seed, *d.streams, uint64_t(line + d.key_positions[k]));
      k += n;
    }
    return b_.line;
  }

  // Scores become e^(score - max). Returns the logarithm of their sum, with the max; kNoKey if
  // there is no key to see. Scores that are no numbers, or all -infinity, make NaN of all.
  float exponentiate(float* scores, bool sees_a_key, float* sum) const {
    if (!sees_a_key) {
      *sum = 0;
      each([&](int64_t at, int64_t, int64_t first, int64_t last) {
        for (int64_t k = first; k < last; ++k) scores[at + k] = 0;
      });
      return kNoKey;
    }
    Vec most = broadcast(kHidden);
    each([&](int64_t at, int64_t, int64_t first, int64_t last) {
      const float* s = scores + at;
      int64_t k = first;
      for (; k + kLanes <= last; k += kLanes) most = larger(load(s + k), most);
      for (; k < last; ++k) most[0] = s[k] > most[0] ? s[k] : most[0];
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
      const Vec e = exp(load_part(s + k, last - k) - max);
      store_part(s + k, e, last - k);
      total += load_part(s + k, last - k);
    });
    *sum = sum_lanes(total);
    if (!(*sum > 0)) *sum = __builtin_nanf("");
    return max + std::log(*sum);
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
  const AttentionHead& a_;
  const Buffers& b_;
  int64_t query_, row_;
  Keys keys_ = {0, 0};
};

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
  pack_turned(a.k, a.k_row, a.K, a.D, b.keys_turned);
  pack_straight(a.v, a.v_row, a.K, a.E, b.values);
  for (int64_t query = 0; query < a.Q; query += kTileRows) {
    const int64_t rows = lesser(kTileRows, a.Q - query);
    const Keys keys = keys_of(a, query, query + rows);
    copy_rows(a.q + query * a.q_row, a.q_row, rows, a.D, a.scale, b.query_rows);
    score(b, b.query_rows, b.keys_turned, rows, a.D, keys, b.weights, 0);
    float sums[kTileRows];
    for (int64_t i = 0; i < rows; ++i) {
      const Row row(a, b, query + i, i);
      const bool sees_a_key = row.hide_blocked(b.weights);
      a.lse[query + i] = row.exponentiate(b.weights, sees_a_key, &sums[i]);
      row.clear_outside(b.weights, keys);
      row.multiply(b.weights, row.draw_dropout());
    }
    if (keys.first == keys.last) clear(b.out, rows * E);
    mix(b, b.weights, 0, rows, keys, a.K, b.values, b.out, E, E);
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
        row.hide_blocked(b.weights);
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
