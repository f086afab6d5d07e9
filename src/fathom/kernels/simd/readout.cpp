#include <cmath>

#include "fathom/kernels/simd/functions.h"
#include "fathom/kernels/simd/vector.h"

namespace fathom {
namespace FATHOM_ISA {
namespace {

float largest(const float* x, int64_t n) {
  Vec most = broadcast(-__builtin_inff());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = larger(load(x + i), most);
  float max = largest_lane(most);
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

// Sum of e^((x - max) * factor), by parts: a lane that summed ten thousand numbers would lose the
// last digits of the small ones.
float sum_of_exp(const float* x, int64_t n, float max, float factor) {
  constexpr int64_t kPart = 64 * kLanes;
  Vec sum = {};
  int64_t i = 0;
  while (i + kLanes <= n) {
    Vec part = {};
    for (const int64_t end = n - i < kPart ? n : i + kPart; i + kLanes <= end; i += kLanes)
      part += exp((load(x + i) - max) * factor);
    sum += part;
  }
  float lanes[kLanes] = {};
  store(lanes, exp((load_part(x + i, n - i) - max) * factor));
  float rest = 0;
  for (int64_t l = 0; l < n - i; ++l) rest += lanes[l];
  return sum_lanes(sum) + rest;
}

}  // namespace

RowReading read_row(const float* logits, int64_t V, int64_t id, double temperature) {
  RowReading r;
  const float max = largest(logits, V);
  while (r.prediction < V - 1 && logits[r.prediction] != max) ++r.prediction;
  const float ln_sum = std::log(sum_of_exp(logits, V, max, 1.0f));
  r.lse = max + ln_sum;
  r.ln_max = -ln_sum;
  if (id >= 0) r.ln_p = logits[id] - max - ln_sum;
  r.ln_max_tempered = r.ln_max;
  r.ln_p_tempered = r.ln_p;
  if (temperature == 1) return r;
  const auto factor = float(1 / temperature);
  const float ln_tempered = std::log(sum_of_exp(logits, V, max, factor));
  r.ln_max_tempered = -ln_tempered;
  if (id >= 0) r.ln_p_tempered = (logits[id] - max) * factor - ln_tempered;
  return r;
}

void slope_row(float* logits, int64_t V, const RowSlope& s) {
  const float factor = -(s.of_p + s.of_max);
  if (factor == 0 && s.of_p == 0) {
    std::memset(logits, 0, size_t(V) * sizeof(float));
    return;
  }
  for (int64_t j = 0; j < V; j += kLanes)
    store_part(logits + j, exp(load_part(logits + j, V - j) - s.lse) * factor, V - j);
  if (s.id >= 0) logits[s.id] += s.of_p;
  logits[s.prediction] += s.of_max;
}

}  // namespace FATHOM_ISA
}  // namespace fathom
