#include "fathom/report/columns.h"

#include <algorithm>

#include "fathom/base/display_width.h"
#include "fathom/base/visible.h"

namespace fathom::report {
namespace {

constexpr const char* kEllipsis = "…";

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t i = 0; (i = text.find(what, i)) != text.npos; i += by.size())
    text.replace(i, what.size(), by);
  return text;
}

bool is_digit_at(const std::string& line, size_t i) {
  return i < line.size() && line[i] >= '0' && line[i] <= '9';
}

// Whether a break may come before `end`, for what the character before it is.
bool ends_word(const std::string& line, size_t end) {
  return std::string_view(" ,/").find(line[end - 1]) != std::string_view::npos;
}

bool ends_part(const std::string& line, size_t end) {
  const char last = line[end - 1], before = end > 1 ? line[end - 2] : '\0';
  const bool goes_on = is_digit_at(line, end);
  if (last == '.') return !(goes_on && end > 1 && is_digit_at(line, end - 2));
  if (last == '-') return !(goes_on && (before == 'e' || before == 'E'));
  return last == '_';
}

}  // namespace

std::string one_line(std::string_view text) {
  return replaced(lines_of_text(text), "\n", "\\n");
}

std::string lines_of_text(std::string_view text) {
  return replaced(visible(text), "\t", "\\t");
}

size_t columns(std::string_view line) {
  size_t n = 0;
  for (size_t i = 0; i < line.size();) {
    const DisplayedCharacter character = character_at(line, i);
    n += character.columns;
    i += character.bytes;
  }
  return n;
}

std::string cut_to_columns(const std::string& line, size_t most) {
  if (columns(line) <= most) return line;
  if (most == 0) return "";
  size_t end = 0, taken = 0;
  while (end < line.size()) {
    const DisplayedCharacter character = character_at(line, end);
    taken += character.columns;
    if (taken + 1 > most) break;
    end += character.bytes;
  }
  return line.substr(0, end) + kEllipsis;
}

std::vector<std::string> folded_name(const std::string& line, size_t width) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < line.size();) {
    size_t end = begin, taken = 0, at_word = begin, at_part = begin;
    while (end < line.size()) {
      const DisplayedCharacter character = character_at(line, end);
      if (end > begin && taken + character.columns > width) break;
      taken += character.columns;
      end += character.bytes;
      if (2 * taken < width) continue;
      if (ends_word(line, end)) at_word = end;
      if (ends_part(line, end)) at_part = end;
    }
    const bool is_last = end == line.size();
    if (!is_last && line[end] != ' ' && (at_word > begin || at_part > begin))
      end = at_word > begin ? at_word : at_part;
    std::string piece = line.substr(begin, end - begin);
    if (!is_last) piece.erase(piece.find_last_not_of(' ') + 1);
    if (!piece.empty()) lines.push_back(std::move(piece));
    begin = std::min(line.find_first_not_of(' ', end), line.size());
  }
  if (lines.empty()) lines.emplace_back();
  return lines;
}

std::string padded(const std::string& line, size_t width, Align align) {
  const size_t there = columns(line);
  if (there >= width) return line;
  const std::string space(width - there, ' ');
  return align == Align::kLeft ? line + space : space + line;
}

std::vector<std::string> wrapped(const std::string& text, size_t width) {
  std::vector<std::string> lines;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find('\n', from), text.size());
    std::string line;
    for (size_t at = from; at < end;) {
      const size_t word_end = std::min(text.find(' ', at + 1), end);
      const std::string word = text.substr(at, word_end - at);
      if (!line.empty() && columns(line + word) > width) {
        lines.push_back(line);
        line = word.substr(std::min(word.find_first_not_of(' '), word.size()));
      } else {
        line += word;
      }
      at = word_end;
    }
    lines.push_back(line);
    from = end + 1;
  }
  return lines;
}

std::vector<std::vector<std::string>> table_texts(const Table& table) {
  std::vector<std::vector<std::string>> texts;
  std::vector<std::string> header;
  for (const Column& column : table.columns)
    header.push_back(
        one_line(column.unit.empty() ? column.name : column.name + " (" + column.unit + ")"));
  if (!table.header) header.assign(table.columns.size(), "");
  texts.push_back(header);
  for (const std::vector<Cell>& row : table.rows) {
    std::vector<std::string> line(table.columns.size());
    for (size_t i = 0; i < std::min(row.size(), line.size()); ++i)
      line[i] = one_line(shown(row[i], table.columns[i].form));
    texts.push_back(std::move(line));
  }
  return texts;
}

std::vector<size_t> table_widths(const std::vector<std::vector<std::string>>& texts) {
  std::vector<size_t> widths(texts.front().size(), 0);
  for (const auto& row : texts)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  return widths;
}

std::vector<std::vector<Piece>> text_lines(const ColouredText& text, size_t width,
                                           bool show_breaks) {
  std::vector<std::vector<Piece>> lines(1);
  size_t taken = 0;
  const auto next_line = [&] {
    lines.emplace_back();
    taken = 0;
  };
  for (const TextRun& run : text.runs) {
    const bool coloured = run.marked || scale_place(text, run).has_value();
    std::string piece = lines_of_text(run.text);
    if (show_breaks && coloured) piece = replaced(piece, "\n", "\u21b5\n");
    size_t begin = 0;
    const auto add = [&](size_t end) {
      if (end > begin) lines.back().push_back({piece.substr(begin, end - begin), &run});
      begin = end;
    };
    for (size_t i = 0; i < piece.size();) {
      if (piece[i] == '\n') {
        add(i);
        begin = ++i;
        next_line();
        continue;
      }
      const DisplayedCharacter character = character_at(piece, i);
      if (taken > 0 && taken + character.columns > width) add(i), next_line();
      taken += character.columns;
      i += character.bytes;
    }
    add(piece.size());
  }
  return lines;
}

}  // namespace fathom::report
