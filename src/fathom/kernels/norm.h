// LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019) of rows, and sums over rows, on
// all threads. Results have the same bits for any number of threads.
#pragma once

#include <cstdint>

namespace fathom {

struct NormProblem {
  const float* x = nullptr;  // (rows, columns), one row behind the other
  int64_t rows = 0, columns = 0;
  const float *weight = nullptr, *bias = nullptr;  // (columns); bias null: none
  double eps = 1e-5;
  bool centred = true;  // false: RMSNorm, as if every row's mean were 0
};

// y = (x - mean) * scale * weight + bias with scale = 1 / sqrt(variance + eps); mean, scale (rows),
// or both null: not wanted.
void norm_forward(const NormProblem& p, float* y, float* mean, float* scale);

// Any of the results may be null: not wanted.
void norm_backward(const NormProblem& p, const float* mean, const float* scale, const float* d_y,
                   float* d_x, float* d_weight, float* d_bias);

// sums (columns) = the sum of x's rows.
void sum_rows(const float* x, int64_t rows, int64_t columns, float* sums);

}  // namespace fathom
