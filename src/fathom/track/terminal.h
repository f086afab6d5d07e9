// What the console can do, and text styles that vanish where it cannot.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace fathom {

bool is_terminal(std::FILE* file);
// A terminal on which the cursor can be moved: is_terminal and TERM is neither empty nor "dumb".
bool can_redraw(std::FILE* file);
// can_redraw, and the user has not set NO_COLOR (https://no-color.org).
bool can_colour(std::FILE* file);
int terminal_width(std::FILE* file);  // columns; 80 if unknown
// Columns that UTF-8 text takes, each character counted as one.
int text_width(std::string_view text);
// The longest beginning of `text` that takes at most `width` columns; no character is split.
std::string_view cut_to_width(std::string_view text, int width);
// At spaces in lines of at most `width` columns less the `indent` that stands before each, the
// first line's by the caller; a word that is longer is not broken. No newline at the end.
std::string hanging(std::string_view text, int indent, int width);

// ANSI styles; every method returns its text unchanged when they are off.
class Style {
 public:
  explicit Style(bool on) : on_(on) {}
  explicit Style(std::FILE* file) : on_(can_colour(file)) {}

  bool on() const { return on_; }
  std::string bold(std::string_view text) const { return wrap("1", text); }
  std::string dim(std::string_view text) const { return wrap("2", text); }
  std::string red(std::string_view text) const { return wrap("31", text); }
  std::string green(std::string_view text) const { return wrap("32", text); }
  std::string yellow(std::string_view text) const { return wrap("33", text); }
  std::string cyan(std::string_view text) const { return wrap("36", text); }

 private:
  std::string wrap(const char* code, std::string_view text) const;
  bool on_;
};

}  // namespace fathom
