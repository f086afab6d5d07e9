// What the numbers of a loop's iterations say: how far it went, how much it still moves, and means
// over texts that looped for different times.
#pragma once

#include <cstddef>
#include <vector>

#include "fathom/study/loops/matrix.h"

namespace fathom {

// For each two groups that follow on one another in a walk: the distance (Frobenius) from the last
// state of the one to the first of the next, over the mean distance of successive states of the
// former, in which the hand-off into it counts (the first group has none). `groups`: of each its
// states in order, (T, C). Of the first G - 1 groups; NaN where the former did not move.
std::vector<double> drift_to_loop(const std::vector<std::vector<DenseMatrix>>& groups);

// Mean and standard deviation (n - 1) over curves of different lengths: at each place, over those
// that are there and finite; NaN where nobody is. The deviation of one is 0.
struct MeanCurve {
  std::vector<double> mean, sd;
};
MeanCurve mean_curve(const std::vector<std::vector<double>>& curves);

}  // namespace fathom
