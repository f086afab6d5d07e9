#include "fathom/track/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "fathom/base/utf8.h"

namespace fathom {
namespace {

// Bytes of the character at text[i]; a byte that is not UTF-8 counts as a character of its own.
size_t character_length(std::string_view text, size_t i) {
  return std::max<size_t>(1, utf8_length(text, i));
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

bool is_terminal(std::FILE* file) {
  return file && isatty(fileno(file)) == 1;
}

bool can_redraw(std::FILE* file) {
  const std::string term = environment("TERM");
  return is_terminal(file) && !term.empty() && term != "dumb";
}

bool can_colour(std::FILE* file) {
  return can_redraw(file) && environment("NO_COLOR").empty();
}

int terminal_width(std::FILE* file) {
  constexpr int kUsualWidth = 80;
  winsize size{};
  if (!file || ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return size.ws_col;
}

int text_width(std::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size(); i += character_length(text, i)) ++width;
  return width;
}

std::string_view cut_to_width(std::string_view text, int width) {
  size_t end = 0;
  for (; width > 0 && end < text.size(); --width) end += character_length(text, end);
  return text.substr(0, end);
}

std::string hanging(std::string_view text, int indent, int width) {
  std::string out;
  int taken = 0;  // of the line
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    const int columns = text_width(word);
    if (taken > 0 && indent + taken + 1 + columns > width) {
      out += "\n" + std::string(static_cast<size_t>(indent), ' ');
      taken = 0;
    }
    if (taken > 0) out += ' ', ++taken;
    out += word;
    taken += columns;
    at = end + 1;
  }
  return out;
}

std::string Style::wrap(const char* code, std::string_view text) const {
  return on_ && !text.empty() ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

}  // namespace fathom
