#include "fathom/data/corpus_name.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "fathom/base/text.h"
#include "fathom/base/utf8.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

constexpr size_t kLongest = 100;  // bytes; a folder's own limit is 255
constexpr size_t kChecksumDigits = 8;

// First and last of each range: what has no shape of its own (Unicode's White_Space, Cc, Cf and
// Default_Ignorable_Code_Point, the empty braille pattern, and what is no character).
constexpr std::array<std::pair<uint32_t, uint32_t>, 30> kInvisible = {{
    {0x0000, 0x0020},   {0x007F, 0x00A0},    {0x00AD, 0x00AD},   {0x034F, 0x034F},
    {0x0600, 0x0605},   {0x061C, 0x061C},    {0x06DD, 0x06DD},   {0x070F, 0x070F},
    {0x115F, 0x1160},   {0x1680, 0x1680},    {0x17B4, 0x17B5},   {0x180B, 0x180F},
    {0x2000, 0x200F},   {0x2028, 0x202F},    {0x205F, 0x206F},   {0x2800, 0x2800},
    {0x3000, 0x3000},   {0x3164, 0x3164},    {0xFDD0, 0xFDEF},   {0xFE00, 0xFE0F},
    {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},    {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},
    {0x110BD, 0x110BD}, {0x110CD, 0x110CD},  {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0xE0FFF}, {0xF0000, 0x10FFFF},
}};

bool is_visible(uint32_t code_point) {
  return std::none_of(kInvisible.begin(), kInvisible.end(), [&](const auto& range) {
    return range.first <= code_point && code_point <= range.second;
  });
}

// At most `bytes` of it, whole characters.
std::string_view start_of(std::string_view name, size_t bytes) {
  while (bytes > 0 && (static_cast<unsigned char>(name[bytes]) & 0xC0) == 0x80) --bytes;
  return name.substr(0, bytes);
}

}  // namespace

std::string corpus_name_of(std::string_view file_stem) {
  std::string name;
  for (size_t i = 0; i < file_stem.size();) {
    const size_t length = utf8_length(file_stem, i);
    const uint32_t code_point =
        length > 0 ? utf8_decode(file_stem, i, length) : static_cast<unsigned char>(file_stem[i]);
    std::string character;
    utf8_append(character, code_point);
    const bool stays = code_point != '/' && is_visible(code_point) && is_printable(character);
    name += stays ? character : "_";
    i += std::max<size_t>(length, 1);
  }
  if (name.empty() || name.front() == '.') name.insert(0, "text");
  if (name.size() <= kLongest) return name;
  const std::string checksum = xxh3_hex(as_bytes(file_stem)).substr(0, kChecksumDigits);
  return std::string(start_of(name, kLongest - kChecksumDigits - 1)) + "-" + checksum;
}

bool is_nameless(const std::string& path) {
  return path == "/dev/stdin" || path.rfind("/dev/fd/", 0) == 0 || path.rfind("/proc/", 0) == 0 ||
         kind_of(path) == PathKind::kStream;
}

}  // namespace fathom
