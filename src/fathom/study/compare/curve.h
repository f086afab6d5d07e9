// A run's metric over what it had used up, and what is read off it: between two evaluations along a
// straight line, outside of them nothing.
#pragma once

#include <optional>
#include <vector>

namespace fathom {

// x ascends strictly; y may hold what is not finite.
struct Curve {
  std::vector<double> x, y;
};

// Of points in the order of their steps; of several with the same x, or one that goes back, the
// later one stays.
Curve curve_of(const std::vector<double>& x, const std::vector<double>& y);

// Nothing before the first point and beyond the last.
std::optional<double> value_at(const Curve& curve, double x);
// value_at() is no evaluation's own: it lies between two of them.
bool is_interpolated(const Curve& curve, double x);
// The mean of the value at `x` and of the evaluations before it, `count` in all where there are so
// many. Nothing where value_at() has nothing.
std::optional<double> mean_until(const Curve& curve, double x, size_t count);
// The first x, up to `end`, at which the curve is at `level` or better; nothing: it is not.
std::optional<double> first_at(const Curve& curve, double level, double end, bool lower_is_better);
// The best value up to `end`, that at `end` included; NaN: there is none.
double best_until(const Curve& curve, double end, bool lower_is_better);

}  // namespace fathom
