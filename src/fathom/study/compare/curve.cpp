#include "fathom/study/compare/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom {
namespace {

bool is_better(double a, double b, bool lower) {
  return lower ? a < b : a > b;
}

}  // namespace

Curve curve_of(const std::vector<double>& x, const std::vector<double>& y) {
  Curve curve;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!std::isfinite(x[i])) continue;
    while (!curve.x.empty() && curve.x.back() >= x[i]) {
      curve.x.pop_back();
      curve.y.pop_back();
    }
    curve.x.push_back(x[i]);
    curve.y.push_back(y[i]);
  }
  return curve;
}

std::optional<double> value_at(const Curve& c, double x) {
  if (c.x.empty() || !(x >= c.x.front()) || x > c.x.back()) return std::nullopt;
  const auto next = std::lower_bound(c.x.begin(), c.x.end(), x);
  const auto i = static_cast<size_t>(next - c.x.begin());
  if (*next == x) return c.y[i];
  const double share = (x - c.x[i - 1]) / (c.x[i] - c.x[i - 1]);
  return c.y[i - 1] + share * (c.y[i] - c.y[i - 1]);
}

bool is_interpolated(const Curve& c, double x) {
  return value_at(c, x).has_value() && !std::binary_search(c.x.begin(), c.x.end(), x);
}

std::optional<double> mean_until(const Curve& c, double x, size_t count) {
  const std::optional<double> last = value_at(c, x);
  if (!last) return std::nullopt;
  double sum = *last;
  size_t n = 1;
  auto i = static_cast<size_t>(std::lower_bound(c.x.begin(), c.x.end(), x) - c.x.begin());
  for (; i > 0 && n < count; ++n) sum += c.y[--i];
  return sum / static_cast<double>(n);
}

std::optional<double> first_at(const Curve& c, double level, double end, bool lower) {
  for (size_t i = 0; i < c.x.size(); ++i) {
    if (is_better(level, c.y[i], lower) || std::isnan(c.y[i])) continue;  // not there yet
    double x = c.x[i];
    if (i > 0 && std::isfinite(c.y[i - 1]) && c.y[i] != c.y[i - 1])
      x = c.x[i - 1] + (level - c.y[i - 1]) / (c.y[i] - c.y[i - 1]) * (c.x[i] - c.x[i - 1]);
    if (x > end + 1e-12 * std::abs(end)) return std::nullopt;
    return std::min(x, end);
  }
  return std::nullopt;
}

double best_until(const Curve& c, double end, bool lower) {
  double best = std::numeric_limits<double>::quiet_NaN();
  const auto take = [&](double y) {
    if (std::isnan(best) || is_better(y, best, lower)) best = y;
  };
  for (size_t i = 0; i < c.x.size() && c.x[i] <= end; ++i) take(c.y[i]);
  if (const auto last = value_at(c, end)) take(*last);
  return best;
}

}  // namespace fathom
