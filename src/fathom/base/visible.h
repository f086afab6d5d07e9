// Text of unknown origin (a model's words, names and paths in messages) as a terminal may have it:
// nothing in it that the terminal would obey, and nothing that people would not see.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Whether one character (or one byte that is not UTF-8) shows itself as what it is. Not so: C0 and
// C1 controls, newline and tab among them, DEL; soft hyphens and joiners, marks of direction, the
// separators U+2028 and U+2029, tags, fillers and whatever else Unicode lets a reader ignore; a
// variation selector unless `after_visible`, that is, behind a character that it can vary.
bool is_visible(std::string_view character, bool after_visible);

// Whether it is one that a terminal may obey, C1 included, or a byte that is not UTF-8.
bool is_control(std::string_view character);

// "\n", "\x1b", "\u200b", "\U000e0041"; of C1 controls and of bytes that are not UTF-8 each byte.
std::string escape_of(std::string_view character);

// What cannot be seen as its escape; newlines and tabs stay.
std::string visible(std::string_view text);

// The same for a text that comes piece by piece, cut anywhere: half a character waits for its rest.
class VisibleText {
 public:
  // What can be shown by now.
  std::string add(std::string_view piece);
  // The bytes that waited in vain, as escapes.
  std::string finish();

 private:
  std::string take(bool all);

  std::string waiting_;  // less than a character, between two calls
  bool seen_ = false;    // the last character can be varied
};

}  // namespace fathom
