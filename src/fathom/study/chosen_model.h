// The model that was chosen, as studies take it: loaded, with its tokenizer and its corpus.
#pragma once

#include <string>
#include <string_view>

#include "fathom/data/corpus.h"
#include "fathom/model/next_token_model.h"
#include "fathom/study/asked/model_choice.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

// The choice's checkpoint with its thresholds. Throws Error for weights that are not finite.
LoadedModel load_chosen(const ModelChoice& choice, at::Device device);

// The model, to be asked for next tokens by `verb`. Throws Error for one that answers something
// else.
const NextTokenModel& next_token_model(const LoadedModel& loaded, const ModelChoice& choice,
                                       std::string_view verb);

// The run's tokenizer, to be `asked`: "generated from". Throws Error for a run without one.
const Tokenizer& tokenizer_of(const LoadedModel& loaded, const ModelChoice& choice,
                              std::string_view asked);

// The corpus that is `asked` for (--dataset); empty: the one that `config` names, the run's own,
// which is found from any folder (train/recipe/data_places.h), and where that was is said on
// stderr. Throws Error as opening does, and Error(kUsage) where its ids mean something else to the
// model.
Corpus open_for(const LoadedModel& loaded, const ModelChoice& choice, const RunConfig& config,
                const std::string& asked);

// Whether the run was trained on this corpus as it is now. Says so on stderr where it should be,
// for it is the one of that name: `asked` is --dataset, empty: the run's own.
bool is_training_corpus(const Corpus& corpus, const RunState& state, const std::string& asked);

}  // namespace fathom
