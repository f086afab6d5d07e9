// Counts of values in bins of equal width.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fathom {

struct Histogram {
  double low = 0, high = 0;
  std::vector<int64_t> counts;  // bin i from low + i * width on; the last one has `high` too
  int64_t below = 0, above = 0, undefined = 0;  // beyond the ends; NaN

  void add(double value);
};

// Without counts. Ends are the 0.1 % and 99.9 % quantiles of a sample, so that a few far values do
// not leave all others one bin; values that are not finite do not count. Ends that would be the
// same are moved apart by 1 each.
Histogram robust_histogram(std::vector<double> sample, size_t bins);
// Of values from their least to their largest, all counted.
Histogram whole_histogram(const std::vector<double>& values, size_t bins);

}  // namespace fathom
