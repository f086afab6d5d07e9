#include "fathom/base/utf8.h"

namespace fathom {

size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  size_t n = 0;
  if (lead < 0x80)
    n = 1;
  else if (lead >= 0xC2 && lead <= 0xDF)
    n = 2;
  else if (lead >= 0xE0 && lead <= 0xEF)
    n = 3;
  else if (lead >= 0xF0 && lead <= 0xF4)
    n = 4;
  if (n == 0 || i + n > text.size()) return 0;
  for (size_t k = 1; k < n; ++k)
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  // Overlong forms, surrogates and values above U+10FFFF hide behind these lead bytes.
  if (lead == 0xE0 && byte(i + 1) < 0xA0) return 0;
  if (lead == 0xED && byte(i + 1) > 0x9F) return 0;
  if (lead == 0xF0 && byte(i + 1) < 0x90) return 0;
  if (lead == 0xF4 && byte(i + 1) > 0x8F) return 0;
  return n;
}

bool is_cut_utf8(std::string_view text, size_t i) {
  constexpr size_t kLongest = 4;
  if (text.size() - i >= kLongest || utf8_length(text, i) != 0) return false;
  // Only the second byte's range depends on the first: one of these suits any.
  for (const char second : {'\x80', '\x90', '\xA0'}) {
    std::string whole(text.substr(i));
    if (whole.size() == 1) whole += second;
    for (; whole.size() <= kLongest; whole += '\x80')
      if (utf8_length(whole, 0) == whole.size()) return true;
  }
  return false;
}

uint32_t utf8_decode(std::string_view text, size_t i, size_t length) {
  const auto byte = [&](size_t k) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[k]));
  };
  if (length == 1) return byte(i);
  uint32_t code = byte(i) & (0xFFu >> (length + 1));
  for (size_t k = 1; k < length; ++k) code = code << 6 | (byte(i + k) & 0x3F);
  return code;
}

void utf8_append(std::string& out, uint32_t code_point) {
  const auto push = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6);
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12);
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18);
    push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace fathom
