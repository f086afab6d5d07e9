// A long text in several samples, as LMPlay's batcher cuts it: by words and ends of
// sentences, so that what is cut off behind a window may be lost, or come twice. For parity; by
// tokens (prompt_rows.h) nothing is lost.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

// Where the next sample begins in `truth`: behind the first ". " at or after as many words as are
// thought to fit beside the prompt in `max_length` tokens, at 1.4 tokens a word. None: all words
// are thought to fit, at 1.5, or no sentence begins there. Bytes.
std::optional<size_t> continuation_point(std::string_view prompt, std::string_view truth,
                                         size_t max_length);

struct ContinuedText {
  std::string prompt;          // what is before the text that is new
  std::string_view truth;      // of the text given
  std::optional<size_t> next;  // in the whole text, where the sample after this one begins
};

// The sample of `text` that begins at `offset`, a place that this function gave as `next`, or 0.
// The first one has `title_prompt` as its prompt, each further one "..." behind it and the sentence
// that begins at `offset`, as a run-up, if the text goes on behind that.
ContinuedText continued_text(const std::string& title_prompt, std::string_view text, size_t offset,
                             size_t max_length);

}  // namespace fathom
