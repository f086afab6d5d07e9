// UTF-8, for the character tokenizer and for messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// Length in bytes (1 to 4) of the well-formed sequence that starts at text[i] (Unicode 14, table
// 3-7: no overlong forms, no surrogates, nothing above U+10FFFF); 0 if there is none.
size_t utf8_length(std::string_view text, size_t i);
// Whether text[i] and all that follows is the beginning of such a sequence, which lacks its end.
bool is_cut_utf8(std::string_view text, size_t i);
// Code point of a sequence of that length.
uint32_t utf8_decode(std::string_view text, size_t i, size_t length);
void utf8_append(std::string& out, uint32_t code_point);

}  // namespace fathom
