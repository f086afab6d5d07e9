// Where a graph's nodes and edges stand, by Graphviz's `dot`. It is told sizes and nothing else:
// whatever the graph's texts are, none of them reaches it, and every format draws them itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/report/report.h"

namespace fathom::report {

struct Place {
  double x = 0, y = 0;  // from the left and from the top
};

// In units of pictures.
struct PlacedGraph {
  struct Box {
    Place centre;
    double width = 0, height = 0;
  };
  struct Curve {
    std::vector<Place> points;   // of cubic Bezier curves, one behind the other: 3 n + 1; none: the
                                 // edge is left out
    std::optional<Place> label;  // its centre
  };
  double width = 0, height = 0;
  std::vector<Box> nodes;    // as the graph's
  std::vector<Curve> edges;  // as the graph's
};

inline constexpr double kNodeLetter = 13, kNodeLine = 17;  // sizes of a font and of a line of it

std::string dot_source(const Graph& graph);
// Of what `dot -Tplain` makes of it. Throws Error for anything else.
PlacedGraph read_layout(const Graph& graph, std::string_view plain);
// Both. Throws Error where dot is not installed or fails.
PlacedGraph layout_of(const Graph& graph);

}  // namespace fathom::report
