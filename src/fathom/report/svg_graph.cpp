#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/report/columns.h"
#include "fathom/report/graph_layout.h"
#include "fathom/report/svg.h"

namespace fathom::report {
namespace {

constexpr double kArrow = 9, kArrowHalf = 3.5;  // an arrow's length, and half of its width

std::string point(const Place& p) {
  return coordinate(p.x) + " " + coordinate(p.y);
}

// At the end of an edge, along its last direction.
std::string arrow(const std::vector<Place>& points) {
  const Place tip = points.back();
  Place before = tip;
  double length = 0;
  for (size_t i = points.size() - 1; i > 0 && length < 1e-6; --i) {
    before = points[i - 1];
    length = std::hypot(tip.x - before.x, tip.y - before.y);
  }
  if (length < 1e-6) return "";
  const double dx = (tip.x - before.x) / length, dy = (tip.y - before.y) / length;
  const Place base{tip.x - kArrow * dx, tip.y - kArrow * dy};
  return fmt::format("<path d=\"M {} L {} L {} Z\" class=\"ink\" fill=\"#1b1b1f\"/>\n", point(tip),
                     point({base.x - kArrowHalf * dy, base.y + kArrowHalf * dx}),
                     point({base.x + kArrowHalf * dy, base.y - kArrowHalf * dx}));
}

std::string edge_elements(const Graph::Edge& edge, const PlacedGraph::Curve& curve) {
  if (curve.points.empty()) return "";
  std::string path = "M " + point(curve.points[0]);
  for (size_t i = 1; i + 2 < curve.points.size(); i += 3)
    path += fmt::format(" C {}, {}, {}", point(curve.points[i]), point(curve.points[i + 1]),
                        point(curve.points[i + 2]));
  std::string out =
      fmt::format("<path d=\"{}\" fill=\"none\" class=\"axis\" stroke=\"#5a5a66\"/>\n{}", path,
                  arrow(curve.points));
  if (curve.label)
    out += svg_text(curve.label->x, curve.label->y + 4,
                    "class=\"ink\" fill=\"#1b1b1f\" font-size=\"11\" text-anchor=\"middle\"",
                    edge.label);
  return out;
}

std::string node_elements(const Graph::Node& node, const PlacedGraph::Box& box) {
  const bool shaded = node.shade && std::isfinite(*node.shade);
  std::string out = fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"{}\" class=\"axis\" "
      "stroke=\"#5a5a66\"{}/>\n",
      coordinate(box.centre.x - box.width / 2), coordinate(box.centre.y - box.height / 2),
      coordinate(box.width), coordinate(box.height),
      shaded ? css(scale_colour(*node.shade)) : "none", node.marked ? " stroke-width=\"2.5\"" : "");
  // Letters on a colour stay dark where the page is.
  const std::string look = fmt::format("{}fill=\"#1b1b1f\" font-size=\"{}\" text-anchor=\"middle\"",
                                       shaded ? "" : "class=\"ink\" ", kNodeLetter);
  const auto rows = static_cast<double>(node.lines.size() + 1);
  double y = box.centre.y - rows * kNodeLine / 2 + kNodeLetter;
  out += svg_text(box.centre.x, y, look + " font-weight=\"bold\"", node.name);
  for (const std::string& line : node.lines)
    out += svg_text(box.centre.x, y += kNodeLine, look, line);
  return out;
}

}  // namespace

Drawing draw(const Graph& graph, double width) {
  const PlacedGraph placed = layout_of(graph);
  Drawing out{width, 0, ""};
  if (!graph.title.empty()) out = draw(Heading{graph.title, 3}, width);
  constexpr double kAround = 2;  // of a thick frame
  out.elements += fmt::format("<g transform=\"translate({} {})\">\n", coordinate(kAround),
                              coordinate(out.height + kAround));
  for (size_t i = 0; i < graph.edges.size(); ++i)
    out.elements += edge_elements(graph.edges[i], placed.edges[i]);
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    out.elements += node_elements(graph.nodes[i], placed.nodes[i]);
  out.elements += "</g>\n";
  out.height += placed.height + 2 * kAround;
  out.width = std::max(width, placed.width + 2 * kAround);
  return out;
}

}  // namespace fathom::report
