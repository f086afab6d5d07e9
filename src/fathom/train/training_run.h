// A training run in its folder: between the trainer, the folder, the run store and the console.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fathom/model/device.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/run_request.h"
#include "fathom/train/trainer.h"

namespace fathom {

// The folder of the run that was asked for, held; `run_name` becomes that which it got. Throws
// Error where it cannot be had.
RunFolder take_folder(TrainRequest& request);

// What is said of the model at a step's sample (TrainingConfig::sample_interval); null: nothing.
using SampleLines = std::function<std::vector<std::string>(int64_t step)>;

// Trains, from where the trainer stands once it was resumed, where that was asked for, to the run's
// end or a StopSignal. `ready` is called before the first step, when request and trainer say what
// will be trained. The run's status is recorded also where this throws.
RunEnd train_in(RunFolder& folder, TrainRequest& request, Trainer& trainer,
                const std::function<void()>& ready, const SampleLines& samples = {});

// The part in it of a rank that is not the first: it trains along, and writes and says nothing.
RunEnd train_along(const TrainRequest& request, Trainer& trainer);

// What the console says before the first step: notices, sizes, stages, optimiser and threads.
void print_header(const TrainRequest& request, const Trainer& trainer, const ThreadChoice& threads);

}  // namespace fathom
