#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/text.h"
#include "fathom/report/columns.h"
#include "fathom/report/render.h"
#include "fathom/report/terminal_plot.h"

namespace fathom::report {
namespace {

constexpr size_t kIndent = 2, kGap = 2;

using Texts = std::vector<std::vector<std::string>>;

std::string styled(const char* code, const std::string& text, const TerminalOptions& options) {
  return options.colour && !text.empty() ? fmt::format("\033[{}m{}\033[0m", code, text) : text;
}

std::string without_end_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string part_text(const Heading& heading, const TerminalOptions& options) {
  std::string out;
  for (const std::string& line :
       wrapped(one_line(heading.text), static_cast<size_t>(options.width)))
    out += styled("1", line, options) + "\n";
  return out;
}

std::string part_text(const Paragraph& paragraph, const TerminalOptions& options) {
  std::string out;
  for (const std::string& line :
       wrapped(lines_of_text(paragraph.text), static_cast<size_t>(options.width)))
    out += line + "\n";
  return out;
}

size_t total_width(const std::vector<size_t>& widths) {
  size_t sum = kIndent;
  for (const size_t w : widths) sum += w + kGap;
  return sum - kGap;
}

// The table without columns that may be left out, as many as have to be; their names.
std::vector<std::string> leave_out(Table& table, size_t width) {
  std::vector<std::string> names;
  for (size_t i = table.columns.size();
       i-- > 0 && total_width(table_widths(table_texts(table))) > width;) {
    if (table.columns[i].narrow != Narrow::kLeftOut) continue;
    names.insert(names.begin(), table.columns[i].name);
    table.columns.erase(table.columns.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::vector<Cell>& row : table.rows)
      if (i < row.size()) row.erase(row.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return names;
}

// What gives way, and how far, where a table is too wide.
struct GivesWay {
  size_t first = 0;          // 0: numbers have room for their names, too; 1: these are cut
  bool folds_whole = false;  // what is to be typed goes on below
};

// The widest columns give way until the table fits: of text down to a few letters, of numbers as
// far as none is cut.
void fit(std::vector<size_t>& widths, const Texts& texts, const Table& table, size_t width,
         GivesWay how) {
  constexpr size_t kFewLetters = 8, kPartOfName = 20;
  std::vector<size_t> least(widths.size(), kFewLetters);
  for (size_t i = 0; i < widths.size(); ++i) {
    const Column& column = table.columns[i];
    const bool is_whole = column.narrow == Narrow::kWhole;
    if (is_whole && how.folds_whole) least[i] = kPartOfName;
    const bool stays = (is_whole && !how.folds_whole) || column.align == Align::kRight;
    for (size_t r = how.first; stays && r < texts.size(); ++r)
      least[i] = std::max(least[i], columns(texts[r][i]));
  }
  while (!widths.empty() && total_width(widths) > width) {
    size_t widest = widths.size();
    for (size_t i = 0; i < widths.size(); ++i)
      if (widths[i] > least[i] && (widest == widths.size() || widths[i] > widths[widest]))
        widest = i;
    if (widest == widths.size()) return;
    --widths[widest];
  }
}

// Columns that stand side by side: all of them where they fit, else the first one before as many of
// the others as do.
std::vector<std::vector<size_t>> column_groups(const std::vector<size_t>& widths, size_t width) {
  std::vector<std::vector<size_t>> groups;
  size_t taken = 0;
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool fits = taken + kGap + widths[i] <= width;
    if (groups.empty() || (!fits && groups.back().size() > 1)) {
      groups.push_back({0});
      taken = kIndent + widths[0];
    }
    if (i == 0) continue;
    groups.back().push_back(i);
    taken += kGap + widths[i];
  }
  return groups;
}

// In one piece where that can be; what breaks need not be cut where each column has room beside the
// first.
std::vector<size_t> fitting_widths(const Texts& texts, const Table& table,
                                   const TerminalOptions& options) {
  const auto width = static_cast<size_t>(options.width);
  const std::vector<size_t> wide = table_widths(texts);
  for (const GivesWay how : {GivesWay{0}, GivesWay{1}, GivesWay{1, /*folds_whole=*/true}}) {
    if (how.folds_whole && options.keeps_all) break;
    std::vector<size_t> widths = wide;
    fit(widths, texts, table, width, how);
    if (column_groups(widths, width).size() <= 1) return widths;
  }
  std::vector<size_t> widths = wide;
  const size_t widest = *std::max_element(wide.begin() + 1, wide.end());
  if (total_width({wide[0], widest}) > width) fit(widths, texts, table, width, {0});
  return widths;
}

// One row of some of the columns: as many lines as its longest folded cell has.
std::string row_text(const Table& table, const Texts& texts, const std::vector<size_t>& widths,
                     const std::vector<size_t>& group, size_t r, const TerminalOptions& options) {
  std::vector<std::vector<std::string>> cells;
  size_t lines = 1;
  for (const size_t i : group) {
    const std::string& text = texts[r][i];
    const Narrow narrow = table.columns[i].narrow;
    cells.push_back(narrow == Narrow::kFold || narrow == Narrow::kWhole
                        ? folded_name(text, widths[i])
                        : std::vector<std::string>{cut_to_columns(text, widths[i])});
    lines = std::max(lines, cells.back().size());
  }
  std::string out;
  for (size_t l = 0; l < lines; ++l) {
    std::string line(kIndent, ' ');
    for (size_t g = 0; g < group.size(); ++g) {
      const size_t i = group[g];
      std::string cell = l < cells[g].size() ? cells[g][l] : "";
      const bool marked = r > 0 && i < table.rows[r - 1].size() && table.rows[r - 1][i].marked;
      const std::string space(widths[i] - columns(cell), ' ');
      if (marked) cell = styled("4", cell, options);
      line += (g > 0 ? std::string(kGap, ' ') : "") +
              (table.columns[i].align == Align::kLeft ? cell + space : space + cell);
    }
    out += without_end_spaces(line) + "\n";
  }
  return out;
}

// A table as it is set, and the names of the columns that it lacks.
struct TableLayout {
  Table table;
  std::vector<std::string> left_out;
  Texts texts;
  std::vector<size_t> widths;
  std::vector<std::vector<size_t>> groups;
};

TableLayout laid_out(Table table, bool leaves_out, const TerminalOptions& options) {
  const auto width = static_cast<size_t>(options.width);
  TableLayout layout;
  if (leaves_out) layout.left_out = leave_out(table, width);
  layout.texts = table_texts(table);
  layout.widths = fitting_widths(layout.texts, table, options);
  layout.groups = column_groups(layout.widths, width);
  layout.table = std::move(table);
  return layout;
}

std::string part_text(const Table& given, const TerminalOptions& options) {
  Table whole = given;
  if (options.keeps_all)
    for (Column& column : whole.columns)
      if (column.narrow != Narrow::kWhole) column.narrow = Narrow::kCut;
  TableLayout layout = laid_out(whole, /*leaves_out=*/true, options);
  // What goes on below has room for all columns.
  if (layout.groups.size() > 1 && !layout.left_out.empty())
    layout = laid_out(std::move(whole), /*leaves_out=*/false, options);
  const auto& [table, left_out, texts, widths, groups] = layout;
  std::string out;
  if (!table.title.empty()) out += styled("1", one_line(table.title), options) + "\n";
  bool is_first = true;
  for (const std::vector<size_t>& group : groups) {
    if (!is_first) out += "\n";
    is_first = false;
    for (size_t r = table.header ? 0 : 1; r < texts.size(); ++r)
      out += row_text(table, texts, widths, group, r, options);
  }
  if (!left_out.empty())
    out += "\n" + part_text(Paragraph{"Not shown for want of width: " + join(left_out, ", ") + "."},
                            options);
  return out;
}

std::string part_text(const Plot& plot, const TerminalOptions& options) {
  return terminal_plot(plot, options);
}

std::string part_text(const Bars& bars, const TerminalOptions& options) {
  return terminal_bars(bars, options);
}

std::string part_text(const Graph& graph, const TerminalOptions& options) {
  return part_text(table_of(graph), options);
}

std::string legend(const ColouredText& text, const TerminalOptions& options) {
  std::string out;
  if (!options.colour && !text.categories.empty() && !text.legend.empty()) {
    std::vector<std::string> names;
    for (const ColouredText::Category& category : text.categories)
      names.push_back(fmt::format("{} {}", category.sign, one_line(category.name)));
    out = one_line(text.legend) + ": " + join(names, ", ");
  }
  if (options.colour && !text.categories.empty()) {
    out = one_line(text.legend);
    for (size_t i = 0; i < text.categories.size(); ++i) {
      const double place =
          text.categories.size() == 1
              ? 1
              : static_cast<double>(i) / static_cast<double>(text.categories.size() - 1);
      out += fmt::format("{}\033[30;48;5;{}m {} \033[0m", out.empty() ? "" : " ",
                         scale_terminal_colour(place), one_line(text.categories[i].name));
    }
  }
  if (options.colour && !text.mark.empty())
    out += fmt::format("{}underlined: {}", out.empty() ? "" : "; ", one_line(text.mark));
  return out.empty() ? "" : "\n" + out + "\n";
}

std::string part_text(const ColouredText& text, const TerminalOptions& options) {
  std::string out;
  for (const std::vector<Piece>& pieces :
       text_lines(text, static_cast<size_t>(options.width), options.colour)) {
    std::string line, signs;
    for (const Piece& piece : pieces) {
      const auto place = scale_place(text, *piece.run);
      const char* underline = piece.run->marked ? ";4" : "";
      if (options.colour && place)
        line += fmt::format("\033[30;48;5;{}{}m{}\033[0m", scale_terminal_colour(*place), underline,
                            piece.text);
      else if (piece.run->marked)
        line += styled("4", piece.text, options);
      else
        line += piece.text;
      // A run's first column has its sign.
      const size_t width = columns(piece.text);
      if (width > 0) signs += sign_of(text, *piece.run) + std::string(width - 1, ' ');
    }
    out += line + "\n";
    signs = without_end_spaces(signs);
    if (!options.colour && !signs.empty()) out += signs + "\n";
  }
  return out + legend(text, options);
}

}  // namespace

std::string render_terminal(const Report& report, const TerminalOptions& given) {
  TerminalOptions options = given;
  options.width = std::max(options.width, 20);
  std::string out;
  bool was_text = false;
  for (const Part& part : report.parts) {
    if ((part.shown_in & kInTerminal) == 0) continue;
    // Paragraphs follow a heading and one another closely; what has a form of its own stands apart.
    const bool is_paragraph = std::holds_alternative<Paragraph>(part.body);
    if (!out.empty() && !(was_text && is_paragraph)) out += "\n";
    was_text = is_paragraph || std::holds_alternative<Heading>(part.body);
    out += std::visit([&](const auto& body) { return part_text(body, options); }, part.body);
  }
  return out;
}

}  // namespace fathom::report
