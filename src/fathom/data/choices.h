// Questions that are answered by one of several endings, a JSON line each, as HellaSwag publishes
// them (Zellers et al. 2019):
//
//   {"ctx": "A man sits down. he", "endings": ["sings.", "falls.", ...], "label": 1, ...}
//
// In place of "ctx" there may be its halves, "ctx_a" and "ctx_b", which a space joins. The label
// may be a text, as in other copies of the data; all other fields are left alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/token_batch.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

inline constexpr size_t kMostEndings = 64;
inline constexpr uint64_t kMostChoiceBytes = 256 << 20;  // of a file; HellaSwag's have 13 and 48 MB

struct Choice {
  std::string context;               // not empty
  std::vector<std::string> endings;  // two to kMostEndings, none empty
  size_t label = 0;                  // which one is right
  std::string place = {};            // where it was read: "h.jsonl, line 3"; empty: nowhere
};
bool operator==(const Choice& a, const Choice& b);  // wherever they were read

// `name` is for errors: "hellaswag.jsonl, line 3". Throws Error for a line that is none.
Choice read_choice(std::string_view line, const std::string& name);
std::string choice_line(const Choice& choice);  // reads back as it was

// The lines of a file, blank ones left out; the first `most` (0: all), behind which nothing is
// read. Throws Error for a line that is none, and for a text without any.
std::vector<Choice> read_choices(std::string_view text, const std::string& path, int64_t most = 0);

// A question as tokens: the context, and each ending behind a space, all encoded by themselves as
// HellaSwag's authors do. Fewer of the context's, its last ones, where a model that sees `seen`
// tokens needs that for the longest ending, so that all endings have the same context.
struct ChoiceRows {
  struct Row {
    std::vector<int64_t> tokens;
    size_t ending_at =
        0;  // of tokens, at least 1: the ending's first, which the one before predicts
  };
  std::vector<Row> rows;  // an ending each
  int64_t cut = 0;        // tokens of the context that were left out
};
// Throws Error where a text has no tokens in this vocabulary, or an ending alone is too long.
ChoiceRows choice_rows(const Tokenizer& tokenizer, const Choice& choice, int64_t seen,
                       const std::string& name);

// A batch in which the endings' tokens are the targets, and nothing else is one; a row an ending,
// the shorter ones padded.
TokenBatch choice_batch(const std::vector<ChoiceRows::Row>& rows);

}  // namespace fathom
