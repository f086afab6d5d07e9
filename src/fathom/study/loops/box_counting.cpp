#include "fathom/study/loops/box_counting.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "fathom/base/random.h"

namespace fathom {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// False: all points are the same.
bool scale_to_unit_cube(DenseMatrix& p) {
  bool differ = false;
  for (size_t j = 0; j < p.columns; ++j) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (size_t i = 0; i < p.rows; ++i) {
      low = std::min(low, p.at(i, j));
      high = std::max(high, p.at(i, j));
    }
    differ = differ || high > low;
    for (size_t i = 0; i < p.rows; ++i) p.at(i, j) = (p.at(i, j) - low) / (high - low + 1e-9);
  }
  return differ;
}

// Distinct boxes of side `e`; `offset`, by coordinate, moves the grid. By a hash of 64 bits: two of
// a few thousand boxes share one with a probability below 1e-12.
double boxes(const DenseMatrix& p, double e, const std::vector<double>& offset) {
  std::vector<uint64_t> seen(p.rows);
  for (size_t i = 0; i < p.rows; ++i) {
    uint64_t hash = 0x9E3779B97F4A7C15;
    for (size_t j = 0; j < p.columns; ++j) {
      const auto box = static_cast<int64_t>(std::floor((p.at(i, j) + offset[j]) / e));
      hash = (hash ^ static_cast<uint64_t>(box)) * 0xff51afd7ed558ccd;
      hash ^= hash >> 32;
    }
    seen[i] = hash;
  }
  std::sort(seen.begin(), seen.end());
  return static_cast<double>(std::unique(seen.begin(), seen.end()) - seen.begin());
}

double slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) mean_x += x[i] / n, mean_y += y[i] / n;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  return xy / xx;
}

// `count` numbers from 10^low to 1, evenly by their logarithms.
std::vector<double> sides(double low, size_t count, bool with_end) {
  std::vector<double> out;
  const auto steps = static_cast<double>(with_end ? count - 1 : count);
  for (size_t i = 0; i < count; ++i)
    out.push_back(std::pow(10.0, low - low * static_cast<double>(i) / steps));
  return out;
}

}  // namespace

double box_dimension(const DenseMatrix& points) {
  DenseMatrix p = points;
  if (p.rows < 2 || !scale_to_unit_cube(p)) return 0;
  std::vector<double> x, y;
  for (const double e : sides(-3, 20, /*with_end=*/false)) {
    const double N = boxes(p, e, std::vector<double>(p.columns, 0));
    if (N <= 1) continue;
    x.push_back(-std::log(e));
    y.push_back(std::log(N));
  }
  return x.size() < 2 ? kUnknown : slope(x, y);
}

double box_dimension_of_run(const DenseMatrix& points) {
  constexpr size_t kPlaces = 8, kLeastRun = 4;
  DenseMatrix p = points;
  if (p.rows < 2 || !scale_to_unit_cube(p)) return 0;
  const RandomStream random(0, "box_counting");
  std::vector<double> x, y;             // of the sides that count
  size_t begin = 0, best = 0, run = 0;  // of the longest run among them, and of the present one
  uint64_t drawn = 0;
  std::vector<double> offset(p.columns);
  for (const double e : sides(-6, 90, /*with_end=*/true)) {
    double N = 0;
    for (size_t k = 0; k < kPlaces; ++k) {
      for (double& o : offset) o = e * random.uniform(drawn++);
      N += boxes(p, e, offset) / kPlaces;
    }
    const bool counts = N > 1 && N < 0.9 * static_cast<double>(p.rows);
    run = counts ? run + 1 : 0;
    if (!counts) continue;
    x.push_back(-std::log(e));
    y.push_back(std::log(N));
    if (run > best) best = run, begin = x.size() - run;
  }
  if (x.size() < 2) return kUnknown;
  if (best < kLeastRun) return slope(x, y);
  const auto from = static_cast<std::ptrdiff_t>(begin),
             to = static_cast<std::ptrdiff_t>(begin + best);
  return slope({x.begin() + from, x.begin() + to}, {y.begin() + from, y.begin() + to});
}

}  // namespace fathom
