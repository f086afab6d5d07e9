#include "fathom/data/text_scan.h"

#include <algorithm>

#include "fathom/base/utf8.h"

namespace fathom {

TextScan scan_text(std::string_view text, const std::function<void(uint64_t)>& progress) {
  constexpr size_t kPieceBytes = 1 << 20;
  size_t told = 0;
  TextScan scan;
  std::vector<bool> seen;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text, i);
    if (length == 0) {
      scan.invalid_at = i;
      break;
    }
    const uint32_t code_point = utf8_decode(text, i, length);
    if (code_point >= seen.size()) seen.resize(code_point + 1);
    if (!seen[code_point]) scan.alphabet.push_back(code_point);
    seen[code_point] = true;
    ++scan.characters;
    i += length;
    if (progress && i - told >= kPieceBytes) progress(told = i);
  }
  std::sort(scan.alphabet.begin(), scan.alphabet.end());
  return scan;
}

uint64_t utf8_offset(std::string_view text, uint64_t characters) {
  size_t i = 0;
  for (; characters > 0; --characters) i += utf8_length(text, i);
  return i;
}

}  // namespace fathom
