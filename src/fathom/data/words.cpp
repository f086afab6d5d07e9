#include "fathom/data/words.h"

#include <algorithm>
#include <cstdint>

#include "fathom/base/utf8.h"

namespace fathom {
namespace {

bool is_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

template <class Visit>
void for_each_word(std::string_view text, Visit visit) {
  size_t begin = 0;  // of the present word
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    const bool space = length > 0 && is_space(utf8_decode(text, i, length));
    if (space && i > begin) visit(text.substr(begin, i - begin));
    i += std::max<size_t>(length, 1);
    if (space) begin = i;
  }
  if (begin < text.size()) visit(text.substr(begin));
}

}  // namespace

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for_each_word(text, [&](std::string_view word) { words.push_back(word); });
  return words;
}

size_t count_words(std::string_view text) {
  size_t count = 0;
  for_each_word(text, [&](std::string_view) { ++count; });
  return count;
}

}  // namespace fathom
