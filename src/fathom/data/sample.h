// A row as tokens, and what of it is learned (LMPlay's form of a sample).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/row.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// What begins and ends a sample: <|endoftext|>, or a newline with a tokenizer of bytes or
// characters, which has no token of its own for it. An answer of several lines is then not told
// from several answers. Throws Error where there is neither.
uint32_t end_token(const Tokenizer& tokenizer);

// end, prompt, truth, end; the last one only where the truth's tokens do not end with it already.
// Prompt and truth are encoded each for itself.
struct Sample {
  std::vector<uint32_t> tokens;  // two at least
  size_t truth_at = 0;           // of tokens: the first of the truth
};
Sample make_sample(const Tokenizer& tokenizer, std::string_view prompt, std::string_view truth,
                   Specials specials = Specials::kTokens);

// A text has its title before it as a prompt, "Title: <title>\n".
Sample make_sample(const Tokenizer& tokenizer, const Row& row,
                   Specials specials = Specials::kTokens);
std::string title_prompt(const Row& row);  // that; empty where there is no title

}  // namespace fathom
