// How a size grows over depth: by as much each step, or by the same factor.
#pragma once

#include <limits>
#include <vector>

namespace fathom {

inline constexpr double kUnknownSize = std::numeric_limits<double>::quiet_NaN();

enum class GrowthKind {
  kUnknown,  // fewer than three sizes, or one that is not positive and finite
  kFlat,     // the largest is less than 1.1 times the smallest
  kLinear,   // else, the fit with the larger R^2
  kGeometric,
};

// Least squares over depth d = 0, 1, 2, ... Each R^2 is of the numbers that its line is fitted to:
// sizes, and their logarithms.
struct Growth {
  GrowthKind kind = GrowthKind::kUnknown;
  double slope = kUnknownSize, r2_linear = kUnknownSize;     // size = a + slope * d
  double ratio = kUnknownSize, r2_geometric = kUnknownSize;  // size = b * ratio^d
  // Geometric mean of the ratios of successive sizes in the last third of the depth.
  double late_ratio = kUnknownSize;
};

Growth growth_of(const std::vector<double>& sizes);

const char* name_of(GrowthKind kind);  // "linear"

}  // namespace fathom
