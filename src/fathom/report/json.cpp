#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/utf8.h"
#include "fathom/base/visible.h"
#include "fathom/io/json_text.h"
#include "fathom/report/render.h"

namespace fathom::report {
namespace {

using nlohmann::json;

json number(double value) {
  if (std::isnan(value)) return nullptr;
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

json numbers(const std::vector<double>& values) {
  json out = json::array();
  for (const double value : values) out.push_back(number(value));
  return out;
}

json cell_value(const Cell& cell) {
  switch (cell.kind) {
    case Cell::Kind::kText:
      return json_word(cell.text);
    case Cell::Kind::kNumber:
      return number(cell.number);
    case Cell::Kind::kWhole:
      return cell.whole;
    case Cell::Kind::kNothing:
      break;
  }
  return nullptr;
}

json part_value(const Heading& heading) {
  return {{"kind", "heading"}, {"level", heading.level}, {"text", json_word(heading.text)}};
}

json part_value(const Paragraph& paragraph) {
  return {{"kind", "paragraph"}, {"text", json_word(paragraph.text)}};
}

json part_value(const Table& table) {
  json columns = json::array(), rows = json::array();
  for (const Column& column : table.columns)
    columns.push_back({{"name", json_word(column.name)}, {"unit", json_word(column.unit)}});
  for (const std::vector<Cell>& cells : table.rows) {
    json row = json::array();
    for (const Cell& cell : cells) row.push_back(cell_value(cell));
    rows.push_back(std::move(row));
  }
  return {{"kind", "table"},
          {"title", json_word(table.title)},
          {"columns", std::move(columns)},
          {"rows", std::move(rows)}};
}

json axis_value(const Axis& axis) {
  return {{"label", json_word(axis.label)}, {"log", axis.log}};
}

json part_value(const Plot& plot) {
  json lines = json::array();
  for (const Line& line : plot.lines) {
    json value = {{"name", json_word(line.name)}, {"x", numbers(line.x)}, {"y", numbers(line.y)}};
    if (!line.low.empty()) value["low"] = numbers(line.low);
    if (!line.high.empty()) value["high"] = numbers(line.high);
    if (!line.marks.shapes.empty()) value["shapes"] = line.marks.shapes;
    if (!line.marks.shades.empty()) value["shades"] = numbers(line.marks.shades);
    if (line.marks.ends) value["ends"] = true;
    lines.push_back(std::move(value));
  }
  json out = {{"kind", "plot"},
              {"title", json_word(plot.title)},
              {"x", axis_value(plot.x)},
              {"y", axis_value(plot.y)},
              {"lines", std::move(lines)}};
  for (const std::string& shape : plot.shapes) out["shapes"].push_back(json_word(shape));
  if (plot.shades)
    out["shades"] = {{"label", json_word(plot.shades->label)},
                     {"first", json_word(plot.shades->first)},
                     {"last", json_word(plot.shades->last)}};
  return out;
}

json part_value(const Bars& bars) {
  json names = json::array();
  for (const std::string& name : bars.names) names.push_back(json_word(name));
  return {{"kind", "bars"},
          {"title", json_word(bars.title)},
          {"names", std::move(names)},
          {"values", numbers(bars.values)}};
}

json part_value(const Graph& graph) {
  json nodes = json::array(), edges = json::array();
  for (const Graph::Node& node : graph.nodes) {
    json lines = json::array();
    for (const std::string& line : node.lines) lines.push_back(json_word(line));
    json value = {{"name", json_word(node.name)}, {"lines", lines}, {"marked", node.marked}};
    if (node.shade) value["shade"] = number(*node.shade);
    nodes.push_back(std::move(value));
  }
  for (const Graph::Edge& edge : graph.edges)
    edges.push_back({{"from", edge.from}, {"to", edge.to}, {"label", json_word(edge.label)}});
  return {{"kind", "graph"},
          {"title", json_word(graph.title)},
          {"nodes", std::move(nodes)},
          {"edges", std::move(edges)}};
}

json detail_words(const std::vector<Detail::Word>& words) {
  json out = json::array();
  for (const Detail::Word& word : words) out.push_back(json_word(word.text));
  return out;
}

json part_value(const ColouredText& text) {
  json runs = json::array(), categories = json::array();
  for (const ColouredText::Category& category : text.categories)
    categories.push_back(json_word(category.name));
  for (const TextRun& run : text.runs) {
    json value = {{"text", json_word(run.text)}, {"marked", run.marked}};
    if (run.category) value["category"] = *run.category;
    if (run.shade) value["shade"] = number(*run.shade);
    if (run.detail) {
      json rows = json::array();
      for (const auto& row : run.detail->rows) rows.push_back(detail_words(row));
      value["detail"] = {{"sentence", detail_words(run.detail->sentence)}, {"rows", rows}};
    }
    runs.push_back(std::move(value));
  }
  return {{"kind", "text"},
          {"categories", std::move(categories)},
          {"legend", json_word(text.legend)},
          {"mark", json_word(text.mark)},
          {"runs", std::move(runs)}};
}

}  // namespace

std::string json_word(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const std::string_view character =
        std::string_view(text).substr(i, std::max<size_t>(1, utf8_length(text, i)));
    const bool stays = character == "\n" || character == "\t" || !is_control(character);
    out += stays ? std::string(character) : escape_of(character);
    i += character.size();
  }
  return out;
}

std::string render_json(const Report& report) {
  if (!report.values.is_null()) return json_text(report.values, 2) + "\n";
  json parts = json::array();
  for (const Part& part : report.parts)
    parts.push_back(std::visit([](const auto& body) { return part_value(body); }, part.body));
  const json all = {{"title", json_word(report.title)}, {"parts", std::move(parts)}};
  return json_text(all, 1) + "\n";
}

}  // namespace fathom::report
