#include "fathom/study/sizes/growth.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

constexpr double kFlatRange = 1.1;

struct Fit {
  double slope = kUnknownSize, r2 = kUnknownSize;
};

// y over 0, 1, 2, ...; R^2 of numbers that are all the same is not known.
Fit line_through(const std::vector<double>& y) {
  const auto n = static_cast<double>(y.size());
  double mean_x = (n - 1) / 2, mean_y = 0;
  for (const double v : y) mean_y += v / n;
  double xx = 0, xy = 0, yy = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double dx = static_cast<double>(i) - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  Fit fit;
  fit.slope = xy / xx;
  if (yy > 0) fit.r2 = xy * xy / (xx * yy);
  return fit;
}

}  // namespace

Growth growth_of(const std::vector<double>& sizes) {
  Growth growth;
  const auto fits = [](double s) { return std::isfinite(s) && s > 0; };
  if (sizes.size() < 3 || !std::all_of(sizes.begin(), sizes.end(), fits)) return growth;
  std::vector<double> logs;
  for (const double s : sizes) logs.push_back(std::log(s));
  const Fit linear = line_through(sizes), geometric = line_through(logs);
  growth.slope = linear.slope;
  growth.r2_linear = linear.r2;
  growth.ratio = std::exp(geometric.slope);
  growth.r2_geometric = geometric.r2;
  const size_t last = sizes.size() - 1, steps = std::max<size_t>(1, last / 3);
  growth.late_ratio = std::exp((logs[last] - logs[last - steps]) / static_cast<double>(steps));
  const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
  if (*most < kFlatRange * *least)
    growth.kind = GrowthKind::kFlat;
  else
    growth.kind = linear.r2 >= geometric.r2 ? GrowthKind::kLinear : GrowthKind::kGeometric;
  return growth;
}

const char* name_of(GrowthKind kind) {
  switch (kind) {
    case GrowthKind::kUnknown:
      return "unknown";
    case GrowthKind::kFlat:
      return "flat";
    case GrowthKind::kLinear:
      return "linear";
    case GrowthKind::kGeometric:
      return "geometric";
  }
  return "unknown";
}

}  // namespace fathom
