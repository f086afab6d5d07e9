// Text in the columns of a terminal, or of a fixed font.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/report/report.h"

namespace fathom::report {

// Text from outside in one line, with nothing that a terminal would obey (base/visible.h): line
// breaks and tabs as escapes.
std::string one_line(std::string_view text);
// The same with its line breaks.
std::string lines_of_text(std::string_view text);

// Columns that one line takes: two for wide characters, none for combining ones.
size_t columns(std::string_view line);
// Cut to `most` columns, the last one an ellipsis.
std::string cut_to_columns(const std::string& line, size_t most);
// In lines of at most `width` columns: broken behind the last word in a line's second half (space,
// comma, slash), else behind the last part of one there (- _ . but in no number), else anywhere.
std::vector<std::string> folded_name(const std::string& line, size_t width);
// Filled with spaces to `width`.
std::string padded(const std::string& line, size_t width, Align align);
// At spaces, so that no line is wider than `width` unless a word is.
std::vector<std::string> wrapped(const std::string& text, size_t width);

// A table's cells as one-line texts, header first (empty without one), every row as long as the
// columns.
std::vector<std::vector<std::string>> table_texts(const Table& table);
std::vector<size_t> table_widths(const std::vector<std::vector<std::string>>& texts);

// A coloured text in lines of one colour each piece: broken where it breaks, and where it would
// pass `width` columns. A tab is an escape, and a coloured line break shows itself.
struct Piece {
  std::string text;
  const TextRun* run = nullptr;
};
std::vector<std::vector<Piece>> text_lines(const ColouredText& text, size_t width,
                                           bool show_breaks);

}  // namespace fathom::report
