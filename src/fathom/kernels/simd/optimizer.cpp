#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {

double sum_of_squares(const float* x, int64_t count) {
  // Lanes of double precision: squares of floats are exact in them.
  constexpr int kSums = 16;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (int l = 0; l < kSums; ++l) sums[l] += double(x[i + l]) * double(x[i + l]);
  for (int l = 0; i + l < count; ++l) sums[l] += double(x[i + l]) * double(x[i + l]);
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

void adamw(const AdamWStep& step, float* w, const float* g, float* m, float* v, int64_t count) {
  const auto scale = float(step.gradient_scale), keep = float(step.keep), eps = float(step.eps);
  const auto beta1 = float(step.beta1), beta2 = float(step.beta2);
  const auto rest1 = float(1 - step.beta1), rest2 = float(1 - step.beta2);
  const auto size = float(step.step_size), root = float(1 / step.root);
  for (int64_t i = 0; i < count; ++i) {
    const float slope = g[i] * scale;
    m[i] = beta1 * m[i] + rest1 * slope;
    v[i] = beta2 * v[i] + rest2 * slope * slope;
    w[i] = keep * w[i] - size * m[i] / (__builtin_sqrtf(v[i]) * root + eps);
  }
}

}  // namespace FATHOM_ISA
}  // namespace fathom
