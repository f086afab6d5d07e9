// A training run as it was asked for: the ranks, the run's folder, the store, the console, and the
// trainer between them.
#pragma once

#include <functional>
#include <optional>

#include "fathom/train/recipe/run_request.h"
#include "fathom/train/training_run.h"

namespace fathom {

// Says what is shown of the trainer's model at samples.
using SamplesOf = std::function<SampleLines(const TrainRequest& request, Trainer& trainer)>;

// The request of this process anew, where rank 0 decides otherwise than it whether the run goes on.
// Nothing: there is nothing left to do.
using AsFirstDecides = std::function<std::optional<TrainRequest>(bool goes_on)>;

// Trains with the others of its launch to the run's end, or evaluates alone where that was asked
// for. Sets this process's threads. Returns the exit code: 0, or 128 and the signal that ended it,
// its checkpoint saved. Nothing is claimed or removed before the model is made and loaded. Throws
// Error.
int run_training(TrainRequest& request, const SamplesOf& samples_of,
                 const AsFirstDecides& as_first_decides);

}  // namespace fathom
