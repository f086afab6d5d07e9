// What the console can do, and text styles that vanish where it cannot.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

bool is_terminal(std::FILE* file);
// A terminal on which the cursor can be moved: is_terminal and TERM is neither empty nor "dumb".
bool can_redraw(std::FILE* file);
// can_redraw, and the user has not set NO_COLOR (https://no-color.org).
bool can_colour(std::FILE* file);
int terminal_width(std::FILE* file);  // columns; 80 if unknown
// Columns that UTF-8 text takes (base/display_width.h), styles (below) none.
int text_width(std::string_view text);
// The longest beginning of `text` that takes at most `width` columns; no character is split.
std::string_view cut_to_width(std::string_view text, int width);
// At spaces in lines of at most `width` columns less the `indent` that stands before each, the
// first line's by the caller; a word that is longer is not broken, nor what stands between
// backticks, for it is to be typed. No newline at the end.
std::string hanging(std::string_view text, int indent, int width);
// The same of words that may have spaces; the first line begins behind `first` columns.
std::string in_lines(const std::vector<std::string>& words, int first, int indent, int width);
// Each line that is wider than that, broken so, its rest two columns further in than it begins. A
// line that is a command ("  fathom train ...") stays whole.
std::string folded(std::string_view text, int width);
// folded() to its width where `file` is a terminal, else the text as it is: a log has one line for
// one sentence.
std::string fitted(std::FILE* file, std::string_view text);

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
