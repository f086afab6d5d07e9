// The engine's halves of the verbs: they carry out requests that have been checked.
#pragma once

#include "fathom/cli/bench.h"
#include "fathom/cli/eval.h"
#include "fathom/cli/generate.h"
#include "fathom/cli/trace.h"
#include "fathom/cli/train.h"
#include "fathom/model/next_token_model.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

// The choice's checkpoint with its thresholds. Throws Error for weights that are not finite.
LoadedModel load_chosen(const ModelChoice& choice, at::Device device);

// The model, to be asked for next tokens by `verb`. Throws Error for one that answers something
// else.
const NextTokenModel& next_token_model(const LoadedModel& loaded, const ModelChoice& choice,
                                       const std::string& verb);

// Throws Error(kUsage) where ids of the corpus mean something else to the model.
void require_same_tokens(const Corpus& corpus, const LoadedModel& loaded);

// Whether the run was trained on this corpus as it is now. Says so on stderr where it should be,
// for it is the one of that name: `asked` is --dataset, empty: the run's own.
bool is_training_corpus(const Corpus& corpus, const RunState& state, const std::string& asked);

int train(TrainRequest request);
int eval(const EvalRequest& request);
int generate_text(const GenerateRequest& request);
int trace(const TraceRequest& request);
int bench(const BenchRequest& request);
int print_readings();  // EngineReadings, for `fathom doctor`

}  // namespace fathom
