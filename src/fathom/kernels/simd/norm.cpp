#include <cmath>

#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {

namespace {

// The mean of a row, and 0 where it is not taken off.
template <bool kCentred>
[[gnu::always_inline]] inline float mean_of(const float* x, int64_t C) {
  if (!kCentred) return 0;
  Vec sum = {};
  for (int64_t j = 0; j < C; j += kLanes) sum += load_part(x + j, C - j);
  return sum_lanes(sum) / float(C);
}

template <bool kCentred>
void forward(const NormProblem& p, float* y, float* means, float* scales) {
  const int64_t C = p.columns;
  const float* x = p.x;
  for (int64_t i = 0; i < p.rows; ++i, x += C, y += C) {
    const float mean = mean_of<kCentred>(x, C);
    Vec squares = {};
    int64_t j = 0;
    for (; j + kLanes <= C; j += kLanes) {
      const Vec d = load(x + j) - mean;
      squares = fma(d, d, squares);
    }
    float variance = sum_lanes(squares);
    for (; j < C; ++j) variance += (x[j] - mean) * (x[j] - mean);
    const auto scale = float(1 / std::sqrt(double(variance) / double(C) + p.eps));
    for (j = 0; j < C; j += kLanes) {
      const int64_t n = C - j;
      Vec v = (load_part(x + j, n) - mean) * scale * load_part(p.weight + j, n);
      if (p.bias != nullptr) v += load_part(p.bias + j, n);
      store_part(y + j, v, n);
    }
    if (means == nullptr) continue;
    means[i] = mean;
    scales[i] = scale;
  }
}

// With x' = (x - mean) * scale and g = d_y * weight:
//   d_x = scale * (g - mean(g) - x' * mean(g x')),  d_weight = sum d_y x',  d_bias = sum d_y
// and without mean(g) where no mean was taken off.
template <bool kCentred>
void backward(const NormProblem& p, const float* means, const float* scales, const float* d_y,
              float* d_x, float* d_weight, float* d_bias) {
  const int64_t C = p.columns;
  const float* x = p.x;
  for (int64_t i = 0; i < p.rows; ++i, x += C, d_y += C) {
    const float mean = means[i], scale = scales[i];
    Vec sum_g = {}, sum_gx = {};
    for (int64_t j = 0; j < C; j += kLanes) {
      const int64_t n = C - j;
      const Vec d = load_part(d_y + j, n), g = d * load_part(p.weight + j, n);
      const Vec unit = (load_part(x + j, n) - mean) * scale;  // beyond the row g is 0
      sum_g += g;
      sum_gx = fma(g, unit, sum_gx);
      store_part(d_weight + j, load_part(d_weight + j, n) + d * unit, n);
      store_part(d_bias + j, load_part(d_bias + j, n) + d, n);
    }
    if (d_x == nullptr) continue;
    const float mean_g = kCentred ? sum_lanes(sum_g) / float(C) : 0;
    const float mean_gx = sum_lanes(sum_gx) / float(C);
    for (int64_t j = 0; j < C; j += kLanes) {
      const int64_t n = C - j;
      const Vec g = load_part(d_y + j, n) * load_part(p.weight + j, n);
      const Vec unit = (load_part(x + j, n) - mean) * scale;
      store_part(d_x + j, (g - mean_g - unit * mean_gx) * scale, n);
    }
    d_x += C;
  }
}

}  // namespace

void norm_forward(const NormProblem& p, float* y, float* means, float* scales) {
  (p.centred ? forward<true> : forward<false>)(p, y, means, scales);
}

void norm_backward(const NormProblem& p, const float* means, const float* scales, const float* d_y,
                   float* d_x, float* d_weight, float* d_bias) {
  (p.centred ? backward<true> : backward<false>)(p, means, scales, d_y, d_x, d_weight, d_bias);
}

void add_rows(const float* x, int64_t rows, int64_t columns, float* sums) {
  for (int64_t i = 0; i < rows; ++i, x += columns)
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int64_t n = columns - j;
      store_part(sums + j, load_part(sums + j, n) + load_part(x + j, n), n);
    }
}

}  // namespace FATHOM_ISA
}  // namespace fathom
