// The engine's halves of the verbs: they carry out requests that have been checked.
#pragma once

#include "fathom/cli/eval.h"
#include "fathom/cli/generate.h"
#include "fathom/cli/train.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

LoadedModel load_chosen(const ModelChoice& choice, at::Device device);

int train(TrainRequest request);
int eval(const EvalRequest& request);
int generate_text(const GenerateRequest& request);
int print_readings();  // EngineReadings, for `fathom doctor`

}  // namespace fathom
