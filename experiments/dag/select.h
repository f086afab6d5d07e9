// Choosing one of several: as a mixture, by noise, or for good with the mixture's gradient.
#pragma once

#include "experiments/dag/settings.h"
#include "fathom/ops/tensor.h"

namespace fathom::dag {

struct SelectOptions {
  Select select = Select::kSoft;
  double softmax_temperature = 20, gumbel_temperature = 2;
  Tensor uniform;  // (..., n) in [0, 1), of kGumbel and kGumbelSt; undefined: no noise (evaluation)
};

// (..., n) logits -> (..., n) shares that add up to 1, exactly 0 where `hidden` (broadcastable
// bool; may be undefined), of which at least one of a row is false.
//   soft        softmax(clamp(logits, +-m) * sqrt(n) / tau), m = 40, 20 for bfloat16, 8 for float16
//   gumbel      softmax((logits + g) / tau_gumbel), g of `uniform`
//   gumbel_st   its argmax, one-hot, with its gradient: hard + soft - stop(soft)
//   st_argmax   argmax of the softmax, likewise
Tensor select(const Tensor& logits, const Tensor& hidden, const SelectOptions& options);

// Gumbel's temperature after `step` of `steps` steps: from `begin` to `end`, monotone.
double temperature_at(double begin, double end, int64_t step, int64_t steps);

}  // namespace fathom::dag
