// What a training run shows of its model (training_samples.h).
#pragma once

#include "fathom/train/training_run.h"

namespace fathom {

// Null: none are wanted, or, where nobody asked for them by name, the model is none to write text.
// `trainer` must outlive it. Throws Error(kUsage) where they were asked for of such a model.
SampleLines samples_of(const TrainRequest& request, Trainer& trainer);

}  // namespace fathom
