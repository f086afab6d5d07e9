// A text on a command line, as `generate --start` and `trace --text` take it.
#pragma once

#include <string>

namespace fathom {

// `\n` and `\t` as typed in a shell become what they mean, `\\` one backslash; FILE:path reads a
// file's bytes, FILE:- standard input's, 16 MiB at most. Any bytes: what has no tokens is refused
// by the tokenizer. Throws Error for a file that cannot be read.
std::string start_text(const std::string& start);

}  // namespace fathom
