// The marks at the points of a plot's lines, as every format draws them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/report/ticks.h"

namespace fathom::report {

// Circle, square, triangle, diamond, triangle on its tip, star; then they begin again.
inline constexpr size_t kMarkShapes = 6;

struct MarkedPoint {
  size_t point = 0;  // of the line
  size_t shape = 0;  // below kMarkShapes
  std::optional<double> shade;
  bool first = false, last = false;  // of a line whose ends are marked
};
// In the order of the points; of a line with very many some, evenly apart, and always its ends.
std::vector<MarkedPoint> marked_points(const Line& line, const PlotScales& scales);

// What a legend says of marks.
struct MarkKeys {
  bool shapes = false;  // Plot::shapes are told apart, which takes two
  bool shades = false, ends = false;
};
MarkKeys mark_keys(const Plot& plot);
inline constexpr const char *kFirstPoint = "first point", *kLastPoint = "last point";

}  // namespace fathom::report
