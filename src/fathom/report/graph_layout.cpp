#include "fathom/report/graph_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/io/program.h"
#include "fathom/io/scratch_folder.h"
#include "fathom/report/columns.h"
#include "fathom/report/render.h"

namespace fathom::report {
namespace {

constexpr int kDotSeconds = 60;
constexpr double kInch = 72;  // units
constexpr double kNodeMargin = 10, kLabelLetter = 11;
constexpr double kLetterWidth = 0.6;  // of a fixed font's size

double width_of(const std::string& text, double size) {
  return static_cast<double>(columns(one_line(text))) * size * kLetterWidth;
}

bool is_there(const Graph& graph, const Graph::Edge& edge) {
  return edge.from < graph.nodes.size() && edge.to < graph.nodes.size();
}

// The words of dot's plain output, which has a statement a line.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  std::string_view word() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \r"), rest_.size()));
    const std::string_view taken = rest_.substr(0, rest_.find_first_of(" \r"));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  double number() {
    const std::string_view text = word();
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
      fail(fmt::format("dot gave {} in place of a number", quoted_start(text)),
           "take --format=terminal, which needs no picture");
    return value;
  }
  size_t below(size_t n) {
    const double value = number();
    if (value < 0 || value >= static_cast<double>(n) || value != std::floor(value))
      fail(fmt::format("dot gave the number {}, and there are {}", value, n),
           "take --format=terminal, which needs no picture");
    return static_cast<size_t>(value);
  }

 private:
  std::string_view rest_;
};

// The first edge between the two that has no curve yet: dot keeps the order of parallel ones.
PlacedGraph::Curve* next_curve(const Graph& graph, PlacedGraph& placed, size_t from, size_t to,
                               const Graph::Edge*& found) {
  for (size_t i = 0; i < graph.edges.size(); ++i) {
    const Graph::Edge& edge = graph.edges[i];
    if (edge.from != from || edge.to != to || !placed.edges[i].points.empty()) continue;
    found = &edge;
    return &placed.edges[i];
  }
  fail("dot gave an edge that the graph does not have",
       "take --format=terminal, which needs no picture");
}

}  // namespace

std::string dot_source(const Graph& graph) {
  std::string out =
      "digraph g {\nnode [shape=box, fixedsize=true, label=\"\"]\n"
      "edge [arrowhead=none, fontname=Courier]\n";
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Graph::Node& node = graph.nodes[i];
    double width = width_of(node.name, kNodeLetter);
    for (const std::string& line : node.lines) width = std::max(width, width_of(line, kNodeLetter));
    out +=
        fmt::format("{} [width={:.4f}, height={:.4f}]\n", i, (width + 2 * kNodeMargin) / kInch,
                    (static_cast<double>(node.lines.size() + 1) * kNodeLine + kNodeMargin) / kInch);
  }
  for (const Graph::Edge& edge : graph.edges) {
    if (!is_there(graph, edge)) continue;
    // As wide as the label, which is drawn in its place.
    const std::string label(columns(one_line(edge.label)), 'x');
    out += fmt::format(
        "{} -> {}{}\n", edge.from, edge.to,
        label.empty() ? "" : fmt::format(" [label=\"{}\", fontsize={}]", label, kLabelLetter));
  }
  return out + "}\n";
}

PlacedGraph read_layout(const Graph& graph, std::string_view plain) {
  PlacedGraph placed;
  placed.nodes.resize(graph.nodes.size());
  placed.edges.resize(graph.edges.size());
  const auto place_of = [&](Words& words) {
    const double x = words.number() * kInch;
    return Place{x, placed.height - words.number() * kInch};
  };
  bool ended = false;
  while (!plain.empty() && !ended) {
    const std::string_view line = plain.substr(0, plain.find('\n'));
    plain.remove_prefix(std::min(line.size() + 1, plain.size()));
    Words words(line);
    const std::string_view kind = words.word();
    if (kind == "graph") {
      words.number();  // a scale, which is 1
      placed.width = words.number() * kInch;
      placed.height = words.number() * kInch;
    } else if (kind == "node") {
      PlacedGraph::Box& box = placed.nodes[words.below(graph.nodes.size())];
      box.centre = place_of(words);
      box.width = words.number() * kInch;
      box.height = words.number() * kInch;
    } else if (kind == "edge") {
      const size_t from = words.below(graph.nodes.size()), to = words.below(graph.nodes.size());
      const Graph::Edge* edge = nullptr;
      PlacedGraph::Curve& curve = *next_curve(graph, placed, from, to, edge);
      for (size_t n = words.below(10000); n > 0; --n) curve.points.push_back(place_of(words));
      if (curve.points.size() % 3 != 1) curve.points.clear();
      if (edge->label.empty()) continue;
      words.word();
      curve.label = place_of(words);
    } else {
      ended = kind == "stop";
    }
  }
  if (!ended)
    fail("dot ended before its graph did", "take --format=terminal, which needs no picture");
  return placed;
}

void require_graphviz() {
  if (find_program("dot").empty())
    misuse("a graph is drawn by Graphviz's dot, which is not installed",
           "apt-get install graphviz, or take --format=terminal, markdown or json, which need "
           "nothing");
}

PlacedGraph layout_of(const Graph& graph) {
  require_graphviz();
  const std::string dot = find_program("dot");
  const ScratchFolder scratch("plot");
  const std::string source = scratch.file("graph");
  write_file_durably(source, as_bytes(dot_source(graph)));
  const ProgramOutcome outcome = run_program(dot, {"-Tplain", source}, kDotSeconds);
  std::string problem = outcome.problem;
  if (problem.empty() && outcome.signal != 0)
    problem = fmt::format("{} was ended by signal {}", dot, outcome.signal);
  if (problem.empty() && outcome.exit_code != 0)
    problem = fmt::format("{} failed: {}", dot, escaped(trim(outcome.err)));
  if (!problem.empty()) fail(problem, "take --format=terminal, which needs no other program");
  return read_layout(graph, outcome.out);
}

}  // namespace fathom::report
