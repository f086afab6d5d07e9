// A looped model as generation computes it, token by token: how good its answers are, how many
// iterations they took, and how long.
#pragma once

#include <vector>

#include "fathom/model/depth_model.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {

// ln p of each next token of each text, given the tokens before it, under a policy: fixed counts or
// a rule by which rows leave loops. Texts of `context` + 1 tokens to one more than the model has
// positions.
// `seeds`: draws of the loops' first states; loss is told of each, times and iterations are means.
// The first `context` tokens of a text are only read. The first is not in the time, for it finds
// weights that nobody has packed.
LoopExit score_token_by_token(const DepthModel& model, const Policy& policy,
                              const std::vector<std::vector<int64_t>>& texts, int64_t seeds,
                              int64_t context = 1);

}  // namespace fathom
