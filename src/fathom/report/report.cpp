#include "fathom/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "fathom/base/text.h"

namespace fathom::report {
namespace {

// Steps of the scale that are equally far apart to the eye, and to eyes that do not tell red from
// green: it goes along yellow and blue, and ever darker, and no step of it looks like right or
// wrong.
constexpr Colour kScale[] = {{253, 244, 157}, {169, 199, 200}, {87, 149, 224}};
// The same of the 256 colours of terminals.
constexpr int kTerminalColours[] = {229, 187, 152, 116, 110, 74, 68};

}  // namespace

bool repeats_title(const Report& report, unsigned shown_in) {
  for (const Part& part : report.parts) {
    if ((part.shown_in & shown_in) == 0) continue;
    if (const auto* plot = std::get_if<Plot>(&part.body)) return plot->title == report.title;
    if (const auto* graph = std::get_if<Graph>(&part.body)) return graph->title == report.title;
    const auto* bars = std::get_if<Bars>(&part.body);
    return bars != nullptr && bars->title == report.title;
  }
  return false;
}

std::string shown(double number, const NumberForm& form) {
  if (std::isnan(number)) return "-";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  switch (form.kind) {
    case NumberForm::Kind::kPercent:
      return fmt::format("{:.{}f} %", 100 * number, form.digits);
    case NumberForm::Kind::kFixed:
      // A number of three hundred digits is no help.
      if (std::abs(number) < 1e15) return fmt::format("{:.{}f}", number, form.digits);
      break;
    case NumberForm::Kind::kCount:
      if (std::abs(number) < 1e15) return with_commas(std::llround(number));
      break;
    case NumberForm::Kind::kGeneral:
      break;
  }
  return fmt::format("{:.{}g}", number, std::max(form.digits, 1));
}

std::string shown(const Cell& cell, const NumberForm& form) {
  switch (cell.kind) {
    case Cell::Kind::kText:
      return cell.text;
    case Cell::Kind::kNumber:
      return shown(cell.number, form);
    case Cell::Kind::kWhole:
      break;
    case Cell::Kind::kNothing:
      return "";
  }
  if (form.kind == NumberForm::Kind::kCount) return with_commas(cell.whole);
  if (form.kind == NumberForm::Kind::kPercent) return shown(static_cast<double>(cell.whole), form);
  return std::to_string(cell.whole);
}

Table table_of(const Graph& graph) {
  std::vector<std::vector<std::string>> sources(graph.nodes.size());
  for (const Graph::Edge& edge : graph.edges) {
    if (edge.from >= graph.nodes.size() || edge.to >= graph.nodes.size()) continue;
    const std::string& name = graph.nodes[edge.from].name;
    sources[edge.to].push_back(edge.label.empty() ? name : name + " (" + edge.label + ")");
  }
  Table table;
  table.title = graph.title;
  table.columns = {{"node", Align::kLeft}, {"", Align::kLeft}, {"from", Align::kLeft}};
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Cell name = graph.nodes[i].name;
    name.marked = graph.nodes[i].marked;
    table.rows.push_back({name, join(graph.nodes[i].lines, ", "), join(sources[i], ", ")});
  }
  return table;
}

Colour scale_colour(double place) {
  const double x = std::clamp(place, 0.0, 1.0) * (std::size(kScale) - 1);
  const size_t step = std::min(static_cast<size_t>(x), std::size(kScale) - 2);
  const auto between = [&](int Colour::*channel) {
    const double from = kScale[step].*channel, to = kScale[step + 1].*channel;
    return static_cast<int>(std::lround(from + (to - from) * (x - static_cast<double>(step))));
  };
  return {between(&Colour::red), between(&Colour::green), between(&Colour::blue)};
}

int scale_terminal_colour(double place) {
  const double last = std::size(kTerminalColours) - 1;
  return kTerminalColours[static_cast<size_t>(std::clamp(place, 0.0, 1.0) * last + 1e-9)];
}

char shade_digit(double place) {
  return static_cast<char>('0' + std::min(9, static_cast<int>(10 * std::clamp(place, 0.0, 1.0))));
}

std::optional<double> scale_place(const ColouredText& text, const TextRun& run) {
  if (run.shade && std::isfinite(*run.shade)) return std::clamp(*run.shade, 0.0, 1.0);
  if (!run.category || *run.category >= text.categories.size()) return std::nullopt;
  const size_t last = text.categories.size() - 1;
  return last == 0 ? 1 : static_cast<double>(*run.category) / static_cast<double>(last);
}

char sign_of(const ColouredText& text, const TextRun& run) {
  if (run.shade && std::isfinite(*run.shade)) return shade_digit(*scale_place(text, run));
  return scale_place(text, run) ? text.categories[*run.category].sign : ' ';
}

}  // namespace fathom::report
