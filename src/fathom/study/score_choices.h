// What a model thinks of the endings of questions.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fathom/data/choices.h"
#include "fathom/model/next_token_model.h"
#include "fathom/study/tables/choice_table.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct ScoreChoicesOptions {
  int64_t batch_size = 32;  // endings of one pass; those of a question are in one pass always
  at::Device device = at::kCPU;
  Precision dtype = Precision::kFloat32;
  // Of a model with shift tokens the text's vocabulary: rows then begin with the token of shift 1,
  // which takes one of the places that the model sees.
  std::optional<int64_t> shifted_vocab = {};
  std::function<void(size_t done)> progress = {};  // questions, after each pass
};

// ln p of each ending's tokens behind the context, as the model's loss has them: at its last layer,
// in evaluation. A token's probability is what the token before it says, the first one's what the
// context's last token says. `seen`: tokens that the model sees at once. Throws Error as
// choice_rows() does, with the question's place or else its number, and for scores that are not
// finite.
std::vector<ChoiceScore> score_choices(const NextTokenModel& model, const Tokenizer& tokenizer,
                                       const std::vector<Choice>& choices, int64_t seen,
                                       const ScoreChoicesOptions& options);

}  // namespace fathom
