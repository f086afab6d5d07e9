// Columns of a terminal, or of a fixed font.
#pragma once

#include <cstddef>
#include <string_view>

namespace fathom {

struct DisplayedCharacter {
  size_t bytes = 0;
  size_t columns = 0;  // two of a wide character, none of a combining one
};

// The one at text[i]; a byte that is not UTF-8 is a character of its own.
DisplayedCharacter character_at(std::string_view text, size_t i);

}  // namespace fathom
