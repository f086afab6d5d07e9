#include "fathom/study/loops/dynamics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double distance(const Matrix& a, size_t i, const Matrix& b, size_t j) {
  double squares = 0;
  for (size_t k = 0; k < a.columns; ++k) {
    const double d = a.at(i, k) - b.at(j, k);
    squares += d * d;
  }
  return std::sqrt(squares);
}

}  // namespace

std::vector<double> drift_to_loop(const std::vector<Matrix>& groups) {
  std::vector<double> out;
  for (size_t g = 0; g + 1 < groups.size(); ++g) {
    const Matrix& x = groups[g];
    double moved = 0;
    size_t moves = 0;
    if (g > 0 && x.rows > 0 && groups[g - 1].rows > 0)
      moved += distance(groups[g - 1], groups[g - 1].rows - 1, x, 0), ++moves;
    for (size_t i = 0; i + 1 < x.rows; ++i) moved += distance(x, i, x, i + 1), ++moves;
    if (!(moved > 0) || groups[g + 1].rows == 0) {
      out.push_back(kUnknown);
      continue;
    }
    out.push_back(distance(x, x.rows - 1, groups[g + 1], 0) / (moved / static_cast<double>(moves)));
  }
  return out;
}

MeanCurve mean_curve(const std::vector<std::vector<double>>& curves) {
  size_t longest = 0;
  for (const auto& curve : curves) longest = std::max(longest, curve.size());
  MeanCurve out;
  for (size_t i = 0; i < longest; ++i) {
    std::vector<double> values;
    for (const auto& curve : curves)
      if (i < curve.size() && std::isfinite(curve[i])) values.push_back(curve[i]);
    const auto n = static_cast<double>(values.size());
    double mean = 0, squares = 0;
    for (const double v : values) mean += v / n;
    for (const double v : values) squares += (v - mean) * (v - mean);
    out.mean.push_back(values.empty() ? kUnknown : mean);
    out.sd.push_back(values.empty() ? kUnknown : n > 1 ? std::sqrt(squares / (n - 1)) : 0);
  }
  return out;
}

}  // namespace fathom
