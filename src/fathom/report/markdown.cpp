#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/report/columns.h"
#include "fathom/report/render.h"

namespace fathom::report {
namespace {

constexpr size_t kMostRows = 20;  // of a plot's points

// One line in which nothing is Markdown or HTML.
std::string inert(const std::string& text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '|' || c == '*' || c == '_' || c == '`' || c == '~' ||
             (c == '(' && !out.empty() && out.back() == ']'))
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

// The same at the beginning of a line, where more characters mean something.
std::string inert_line(const std::string& text) {
  const std::string line = inert(text);
  const size_t first = std::min(line.find_first_not_of(' '), line.size());
  const bool special =
      first < line.size() && std::string("#>+-=[").find(line[first]) != std::string::npos;
  return (special ? "\\" : "") + line.substr(first);
}

std::string part_text(const Heading& heading) {
  return std::string(static_cast<size_t>(std::clamp(heading.level, 1, 3)), '#') + " " +
         inert(heading.text) + "\n";
}

std::string part_text(const Paragraph& paragraph) {
  std::string out;
  for (size_t from = 0; from <= paragraph.text.size();) {
    const size_t end = std::min(paragraph.text.find('\n', from), paragraph.text.size());
    // Two spaces keep the line's end.
    if (!out.empty()) out += "  \n";
    out += inert_line(paragraph.text.substr(from, end - from));
    from = end + 1;
  }
  return out + "\n";
}

std::string titled(const std::string& title, const std::string& body) {
  return title.empty() ? body : inert_line(title) + ":\n\n" + body;
}

std::string table_text(const Table& table) {
  if (table.columns.empty()) return "";
  std::string out = "|", rule = "|";
  for (const Column& column : table.columns) {
    const std::string name =
        column.unit.empty() ? column.name : column.name + " (" + column.unit + ")";
    out += " " + (table.header ? inert(name) : "") + " |";
    rule += column.align == Align::kRight ? "---:|" : "---|";
  }
  out += "\n" + rule + "\n";
  for (const std::vector<Cell>& row : table.rows) {
    out += "|";
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const Cell cell = i < row.size() ? row[i] : Cell();
      const std::string text = inert(shown(cell, table.columns[i].form));
      out += text.empty() ? " |" : cell.marked ? " <u>" + text + "</u> |" : " " + text + " |";
    }
    out += "\n";
  }
  return out;
}

std::string part_text(const Table& table) {
  return titled(table.title, table_text(table));
}

bool share_few_points(const Plot& plot) {
  for (const Line& line : plot.lines)
    if (line.x.size() > kMostRows || line.x != plot.lines.front().x) return false;
  return !plot.lines.empty();
}

std::string band_text(const Line& line, size_t i) {
  const std::string y = shown(line.y[i], NumberForm());
  if (i >= line.low.size() || i >= line.high.size()) return y;
  return fmt::format("{} ({} to {})", y, shown(line.low[i], NumberForm()),
                     shown(line.high[i], NumberForm()));
}

// Every point, a row each.
Table points_of(const Plot& plot) {
  Table table;
  table.columns.push_back({plot.x.label, Align::kRight, {NumberForm::Kind::kGeneral, 12}});
  for (const Line& line : plot.lines)
    table.columns.push_back({line.name.empty() ? plot.y.label : line.name});
  for (size_t i = 0; i < plot.lines.front().x.size(); ++i) {
    std::vector<Cell> row = {plot.lines.front().x[i]};
    for (const Line& line : plot.lines)
      row.emplace_back(i < line.y.size() ? band_text(line, i) : std::string());
    table.rows.push_back(std::move(row));
  }
  return table;
}

// Where there are too many: what a reader would look for in the picture.
Table extremes_of(const Plot& plot) {
  const NumberForm wide = {NumberForm::Kind::kGeneral, 12};
  const std::string at = "at " + (plot.x.label.empty() ? "x" : plot.x.label);
  Table table;
  table.columns = {{"line", Align::kLeft},
                   {"points", Align::kRight, {NumberForm::Kind::kCount}},
                   {"first"},
                   {at, Align::kRight, wide},
                   {"lowest"},
                   {at, Align::kRight, wide},
                   {"highest"},
                   {at, Align::kRight, wide},
                   {"last"},
                   {at, Align::kRight, wide}};
  for (const Line& line : plot.lines) {
    std::vector<size_t> there;
    for (size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i)
      if (std::isfinite(line.x[i]) && std::isfinite(line.y[i])) there.push_back(i);
    std::vector<Cell> row = {line.name, there.size()};
    if (!there.empty()) {
      const auto [least, most] = std::minmax_element(
          there.begin(), there.end(), [&](size_t a, size_t b) { return line.y[a] < line.y[b]; });
      for (const size_t i : {there.front(), *least, *most, there.back()})
        row.emplace_back(line.y[i]), row.emplace_back(line.x[i]);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string part_text(const Plot& plot) {
  if (plot.lines.empty()) return titled(plot.title, "no lines\n");
  return titled(plot.title,
                table_text(share_few_points(plot) ? points_of(plot) : extremes_of(plot)));
}

std::string part_text(const Bars& bars) {
  Table table;
  table.columns = {{"", Align::kLeft}, {"", Align::kRight, bars.form}};
  for (size_t i = 0; i < std::min(bars.names.size(), bars.values.size()); ++i)
    table.rows.push_back({bars.names[i], bars.values[i]});
  return titled(bars.title, table_text(table));
}

std::string part_text(const Graph& graph) {
  return part_text(table_of(graph));
}

std::string part_text(const ColouredText& text) {
  std::string all;
  for (const TextRun& run : text.runs) all += run.text;
  all = lines_of_text(all);
  std::string out;
  for (size_t from = 0; from <= all.size();) {
    const size_t end = std::min(all.find('\n', from), all.size());
    out += "    " + all.substr(from, end - from) + "\n";
    from = end + 1;
  }
  return out;
}

}  // namespace

std::string render_markdown(const Report& report) {
  std::string out;
  for (const Part& part : report.parts) {
    if ((part.shown_in & kInMarkdown) == 0) continue;
    const std::string text =
        std::visit([](const auto& body) { return part_text(body); }, part.body);
    if (!out.empty() && !text.empty()) out += "\n";
    out += text;
  }
  return out;
}

}  // namespace fathom::report
