// The passes over all parameters that an optimiser's step makes, on all threads. Results have the
// same bits for any number of threads.
#pragma once

#include <cstdint>

namespace fathom {

// In double precision.
double sum_of_squares(const float* x, int64_t count);

// AdamW (Loshchilov and Hutter 2019), gradients times `gradient_scale`:
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   w = keep w - step_size m / (sqrt(v) / root + eps)
struct AdamWStep {
  double gradient_scale = 1;
  double beta1 = 0, beta2 = 0;
  double keep = 1;       // 1 - learning rate * weight decay
  double step_size = 0;  // learning rate / (1 - beta1^n)
  double root = 1;       // sqrt(1 - beta2^n)
  double eps = 0;
};

void adamw(const AdamWStep& step, float* w, const float* g, float* m, float* v, int64_t count);

}  // namespace fathom
