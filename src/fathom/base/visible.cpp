#include "fathom/base/visible.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "fathom/base/utf8.h"

namespace fathom {
namespace {

struct Range {
  uint32_t first, last;
};

// Unicode's Default_Ignorable_Code_Point but for variation selectors, the separators of lines and
// paragraphs, and the marks around annotations.
constexpr Range kInvisible[] = {
    {0x00AD, 0x00AD},   {0x034F, 0x034F},  {0x061C, 0x061C}, {0x115F, 0x1160},   {0x17B4, 0x17B5},
    {0x180E, 0x180E},   {0x200B, 0x200F},  {0x2028, 0x202E}, {0x2060, 0x206F},   {0x3164, 0x3164},
    {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},  {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0xE00FF}, {0xE01F0, 0xE0FFF}};
constexpr Range kVariations[] = {
    {0x180B, 0x180D}, {0x180F, 0x180F}, {0xFE00, 0xFE0F}, {0xE0100, 0xE01EF}};

template <size_t N>
bool holds(const Range (&ranges)[N], uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](Range r) { return r.first <= code && code <= r.last; });
}

bool is_control_code(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

}  // namespace

bool is_visible(std::string_view character, bool after_visible) {
  if (character.empty() || utf8_length(character, 0) != character.size()) return false;
  const uint32_t code = utf8_decode(character, 0, character.size());
  if (is_control_code(code) || holds(kInvisible, code)) return false;
  return after_visible || !holds(kVariations, code);
}

bool is_control(std::string_view character) {
  return utf8_length(character, 0) != character.size() ||
         is_control_code(utf8_decode(character, 0, character.size()));
}

std::string escape_of(std::string_view character) {
  if (character == "\n") return "\\n";
  if (character == "\t") return "\\t";
  if (character == "\r") return "\\r";
  if (character.size() > 1 && utf8_length(character, 0) == character.size()) {
    const uint32_t code = utf8_decode(character, 0, character.size());
    if (!is_control_code(code)) return fmt::format(code > 0xFFFF ? "\\U{:08x}" : "\\u{:04x}", code);
  }
  std::string out;
  for (const char byte : character) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
  return out;
}

std::string VisibleText::take(bool all) {
  std::string out;
  size_t i = 0;
  while (i < waiting_.size()) {
    if (!all && is_cut_utf8(waiting_, i)) break;
    const size_t n = std::max<size_t>(1, utf8_length(waiting_, i));
    const std::string_view character = std::string_view(waiting_).substr(i, n);
    const bool stays = character == "\n" || character == "\t";
    const bool visible = is_visible(character, seen_);
    if (stays || visible)
      out += character;
    else
      out += escape_of(character);
    seen_ = is_visible(character, /*after_visible=*/false);
    i += n;
  }
  waiting_.erase(0, i);
  return out;
}

std::string VisibleText::add(std::string_view piece) {
  waiting_ += piece;
  return take(/*all=*/false);
}

std::string VisibleText::finish() {
  return take(/*all=*/true);
}

std::string visible(std::string_view text) {
  VisibleText whole;
  std::string out = whole.add(text);
  return out + whole.finish();
}

}  // namespace fathom
