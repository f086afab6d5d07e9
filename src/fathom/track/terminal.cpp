#include "fathom/track/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "fathom/base/display_width.h"

namespace fathom {
namespace {

// Of the word that begins at text[at]; one with a backtick ends with that which has its other one.
size_t word_end(std::string_view text, size_t at) {
  bool open = false;
  for (size_t i = at; i < text.size(); ++i) {
    if (text[i] == '`') open = !open && text.find('`', i + 1) != text.npos;
    if (text[i] == ' ' && !open) return i;
  }
  return text.size();
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(text, at);
    words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// Bytes of an ANSI style at text[i]; 0: there is none.
size_t style_length(std::string_view text, size_t i) {
  if (text.substr(i, 2) != "\033[") return 0;
  const size_t end = text.find('m', i);
  return end == text.npos ? 0 : end + 1 - i;
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
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    if (const size_t style = style_length(text, i); style > 0) {
      i += style;
      continue;
    }
    const DisplayedCharacter character = character_at(text, i);
    width += character.columns;
    i += character.bytes;
  }
  return static_cast<int>(width);
}

std::string_view cut_to_width(std::string_view text, int width) {
  size_t end = 0;
  while (end < text.size()) {
    const DisplayedCharacter character = character_at(text, end);
    width -= static_cast<int>(character.columns);
    if (width < 0) break;
    end += character.bytes;
  }
  return text.substr(0, end);
}

std::string hanging(std::string_view text, int indent, int width) {
  return in_lines(words_of(text), indent, indent, width);
}

std::string in_lines(const std::vector<std::string>& words, int first, int indent, int width) {
  std::string out;
  int begin = first, taken = 0;  // of the line, behind its beginning
  for (const std::string& word : words) {
    const int columns = text_width(word);
    if (taken > 0 && begin + taken + 1 + columns > width) {
      out += "\n" + std::string(static_cast<size_t>(indent), ' ');
      taken = 0;
      begin = indent;
    }
    if (taken > 0) out += ' ', ++taken;
    out += word;
    taken += columns;
  }
  return out;
}

std::string folded(std::string_view text, int width) {
  constexpr std::string_view kCommand = "fathom ";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const size_t begin = std::min(line.find_first_not_of(' '), line.size());
    const std::string_view said = line.substr(begin);
    const bool is_command = begin > 0 && said.substr(0, kCommand.size()) == kCommand;
    if (text_width(line) <= width || is_command)
      out += line;
    else
      out.append(begin, ' ') +=
          in_lines(words_of(said), static_cast<int>(begin), static_cast<int>(begin) + 2, width);
    if (end < text.size()) out += '\n';
    at = end + 1;
  }
  return out;
}

std::string fitted(std::FILE* file, std::string_view text) {
  return is_terminal(file) ? folded(text, terminal_width(file)) : std::string(text);
}

std::string Style::wrap(const char* code, std::string_view text) const {
  return on_ && !text.empty() ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
}

}  // namespace fathom
