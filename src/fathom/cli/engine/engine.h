// The engine's halves of the verbs: they carry out requests that have been checked.
#pragma once

#include "fathom/cli/bench.h"
#include "fathom/cli/eval.h"
#include "fathom/cli/generate.h"
#include "fathom/cli/trace.h"
#include "fathom/cli/train.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

// The choice's checkpoint with its thresholds.
LoadedModel load_chosen(const ModelChoice& choice, at::Device device);

// Throws Error(kUsage) where ids of the corpus mean something else to the model.
void require_same_tokens(const Corpus& corpus, const LoadedModel& loaded);

int train(TrainRequest request);
int eval(const EvalRequest& request);
int generate_text(const GenerateRequest& request);
int trace(const TraceRequest& request);
int bench(const BenchRequest& request);
int print_readings();  // EngineReadings, for `fathom doctor`

}  // namespace fathom
