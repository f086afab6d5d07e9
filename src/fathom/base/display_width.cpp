#include "fathom/base/display_width.h"

#include <locale.h>
#include <wchar.h>

#include "fathom/base/utf8.h"

namespace fathom {
namespace {

// wcwidth() as it is in UTF-8, whatever the user's locale.
int width_of(wchar_t code) {
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  const locale_t before = uselocale(utf8);
  const int width = wcwidth(code);
  uselocale(before);
  return width;
}

}  // namespace

DisplayedCharacter character_at(std::string_view text, size_t i) {
  const size_t length = utf8_length(text, i);
  const bool is_plain = length == 1 && text[i] >= ' ' && text[i] <= '~';
  if (length == 0 || is_plain) return {1, 1};
  const int width = width_of(static_cast<wchar_t>(utf8_decode(text, i, length)));
  return {length, width < 0 ? 1 : static_cast<size_t>(width)};
}

}  // namespace fathom
