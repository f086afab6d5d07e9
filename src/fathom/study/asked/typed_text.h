// A text on a command line, as `generate --start` and `trace --text` take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/data/tokenizer.h"

namespace fathom {

// `\n` and `\t` as typed in a shell become what they mean, `\\` one backslash; FILE:path reads a
// file's bytes, FILE:- standard input's, 16 MiB at most. Any bytes: what has no tokens is refused
// by the tokenizer. Throws Error for a file that cannot be read.
std::string start_text(const std::string& start);

// encode_with_specials() of such a text. Where a backslash in it is what has no token, the hint of
// the Error has the escapes that there are.
std::vector<uint32_t> encode_typed(const Tokenizer& tokenizer, const std::string& text);

}  // namespace fathom
