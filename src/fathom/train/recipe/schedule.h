// Learning rate at a step: linear warm-up, then a cosine from learning_rate to min_lr (nanoGPT);
// and the warm-up of an optimiser, wherever the schedule stands (LMPlay).
#pragma once

#include <optional>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// `step` counts from 0 in its stage. With w = warmup_iters and d = lr_decay_iters:
//   step < w:  learning_rate * (step + 1) / (w + 1), or step / w with warmup_form = from_zero
//   step > d:  min_lr
//   else:      min_lr + (1 + cos(pi (step - w) / (d - w))) / 2 * (learning_rate - min_lr)
//
// Of a stage whose end is not known in steps, `done` is the part of its budget that is done, and
// without lr_decay_iters the cosine goes over that: with s the step's factor of the warm-up,
//   s * (min_lr + (1 + cos(pi done)) / 2 * (learning_rate - min_lr))
double learning_rate_at(const RunConfig& config, int64_t step, std::optional<double> done = {});

// What the rate is multiplied by after so many updates of an optimiser whose state began anew: with
// f = optimizer_warmup_fraction and n = optimizer_warmup_steps, f + (1 - f) updates / n, and 1 from
// n updates on.
double optimizer_warmup(const OptimizerConfig& config, int64_t updates);

}  // namespace fathom
