// Words: what lies between white space, as Python's str.split() has them.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace fathom {

// Views into `text`. White space is Unicode's, and the four separators U+001C to U+001F; a byte
// that is not UTF-8 is a part of a word.
std::vector<std::string_view> words_of(std::string_view text);
size_t count_words(std::string_view text);

}  // namespace fathom
