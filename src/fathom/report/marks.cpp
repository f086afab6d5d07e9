#include "fathom/report/marks.h"

#include <algorithm>
#include <cmath>

namespace fathom::report {
namespace {

// More of them on one line are a smear.
constexpr size_t kMostMarks = 64;

}  // namespace

std::vector<MarkedPoint> marked_points(const Line& line, const PlotScales& scales) {
  const Marks& marks = line.marks;
  if (!marks.at_points() && !marks.ends) return {};
  std::vector<size_t> shown;
  for (size_t i = 0; i < std::min(line.x.size(), line.y.size()); ++i)
    if (scales.x.shows(line.x[i]) && scales.y.shows(line.y[i])) shown.push_back(i);
  std::vector<MarkedPoint> out;
  if (shown.empty()) return out;
  const size_t last = shown.size() - 1;
  const size_t count =
      marks.at_points() ? std::min(shown.size(), kMostMarks) : std::min<size_t>(shown.size(), 2);
  for (size_t k = 0; k < count; ++k) {
    const size_t at = count == 1 ? 0 : k * last / (count - 1);
    MarkedPoint mark;
    mark.point = shown[at];
    if (mark.point < marks.shapes.size()) mark.shape = marks.shapes[mark.point] % kMarkShapes;
    if (mark.point < marks.shades.size() && std::isfinite(marks.shades[mark.point]))
      mark.shade = std::clamp(marks.shades[mark.point], 0.0, 1.0);
    mark.first = marks.ends && at == 0;
    mark.last = marks.ends && at == last;
    out.push_back(mark);
  }
  return out;
}

MarkKeys mark_keys(const Plot& plot) {
  MarkKeys keys;
  for (const Line& line : plot.lines) {
    keys.shapes = keys.shapes || (plot.shapes.size() > 1 && !line.marks.shapes.empty());
    keys.shades = keys.shades || (plot.shades && !line.marks.shades.empty());
    keys.ends = keys.ends || line.marks.ends;
  }
  return keys;
}

}  // namespace fathom::report
