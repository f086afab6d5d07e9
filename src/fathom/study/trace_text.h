// What every layer of a model thinks of a text's next tokens.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fathom/data/tokenizer.h"
#include "fathom/model/depth_model.h"
#include "fathom/study/tables/exit_table.h"

namespace fathom {

// Rows for tokens[1], tokens[2], ...: N tokens give N - 1 rows, all in one window with the masks
// that evaluation has. `candidates` predictions a layer. `run` and `source` of the table are left
// to the caller. `shift_id`: of a model with shift tokens that of shift 1, which then stands before
// the text and takes a place of its window. Throws Error for fewer than two tokens.
ExitTable trace_text(const DepthModel& model, const Tokenizer& tokenizer,
                     const std::vector<int64_t>& tokens, int64_t candidates,
                     std::optional<int64_t> shift_id = {});

// The same of a text of any length, as generation goes on with it: at most the last `window` tokens
// are seen, each later row by a walk of its own. `window` is at least 1, the shift token not
// counted. `progress` is told of rows that are done, after each such walk.
ExitTable trace_long_text(const DepthModel& model, const Tokenizer& tokenizer,
                          const std::vector<int64_t>& tokens, int64_t window, int64_t candidates,
                          std::optional<int64_t> shift_id = {},
                          const std::function<void(size_t done)>& progress = {});

}  // namespace fathom
