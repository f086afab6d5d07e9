// What every layer of a model would say, were it the last one.
#pragma once

#include <optional>
#include <vector>

#include "fathom/data/tokenizer.h"
#include "fathom/model/depth_model.h"
#include "fathom/study/tables/guess_table.h"

namespace fathom {

// At the last `places` of the tokens (fewer where there are fewer), which all are in the model's
// window: the likeliest next token of the stream behind each step of the walk, read by the step's
// own norm and head where it has them, else by the last ones ("logit lens"; not where its width is
// another), and of the scores that the model gives. `shift_id`: as in trace_text().
GuessTable guess_layers(const DepthModel& model, const Tokenizer& tokenizer,
                        const std::vector<int64_t>& tokens, int64_t places,
                        std::optional<int64_t> shift_id = {});

}  // namespace fathom
