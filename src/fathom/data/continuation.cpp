#include "fathom/data/continuation.h"

#include <algorithm>
#include <vector>

#include "fathom/base/utf8.h"
#include "fathom/data/words.h"

namespace fathom {
namespace {

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += std::max<size_t>(utf8_length(text, i), 1)) ++count;
  return count;
}

// Bytes of the first so many characters, or all.
size_t bytes_of(std::string_view text, size_t characters) {
  size_t i = 0;
  for (; characters > 0 && i < text.size(); --characters)
    i += std::max<size_t>(utf8_length(text, i), 1);
  return i;
}

}  // namespace

std::optional<size_t> continuation_point(std::string_view prompt, std::string_view truth,
                                         size_t max_length) {
  const std::vector<std::string_view> words = words_of(truth);
  const auto length = static_cast<double>(max_length);
  const auto before = static_cast<double>(count_words(prompt));
  if ((before + static_cast<double>(words.size())) * 1.5 <= length) return {};
  // As Python's int(): towards zero.
  const auto fitting = static_cast<int64_t>(length / 1.4 - 1.5 * before);
  const size_t n = std::min(words.size(), static_cast<size_t>(std::max<int64_t>(fitting, 1)));
  size_t characters = n > 0 ? n - 1 : 0;  // of the words with a blank between each two
  for (size_t i = 0; i < n; ++i) characters += count_characters(words[i]);
  const size_t stop = truth.find(". ", bytes_of(truth, characters));
  if (stop == truth.npos || stop + 2 >= truth.size()) return {};
  return stop + 2;
}

ContinuedText continued_text(const std::string& title_prompt, std::string_view text, size_t offset,
                             size_t max_length) {
  ContinuedText sample;
  sample.prompt = title_prompt;
  size_t begin = offset;  // of what is new
  if (offset > 0) {
    sample.prompt += "...";
    const size_t stop = text.find(". ", offset);
    if (stop != text.npos && stop + 2 < text.size()) begin = stop + 2;
    sample.prompt += text.substr(offset, begin - offset);
  }
  sample.truth = text.substr(begin);
  sample.next = continuation_point(sample.prompt, sample.truth, max_length);
  if (sample.next) *sample.next += begin;
  return sample;
}

}  // namespace fathom
