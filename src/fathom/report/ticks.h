// The axes of pictures.
#pragma once

#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom::report {

struct Tick {
  double place = 0;  // 0 to 1 along the axis
  std::string label;
};

// From numbers to places on an axis, 0 to 1. No number is too large: the difference of two may be.
class Scale {
 public:
  // Finite, low <= high, and above 0 for a logarithmic one; equal ones are set apart.
  Scale(double low, double high, bool log);

  bool shows(double value) const;    // it is finite, and above 0 on a logarithmic axis
  double place(double value) const;  // of one that it shows; beyond 0 and 1 outside
  double low() const;                // the ends of the axis, as numbers
  double high() const;
  // At round numbers, about `most` of them, in ascending order, no two with the same label.
  std::vector<Tick> ticks(int most) const;

 private:
  std::vector<Tick> linear_ticks(int most) const;
  std::vector<Tick> log_ticks(int most) const;

  long double low_, high_;  // their logarithms where `log_`
  bool log_;
};

// Of all that a plot shows, bands included; where there is nothing, 0 to 1 (1 to 10).
struct PlotScales {
  Scale x, y;
};
PlotScales scales_of(const Plot& plot);

// A line without what nobody can see on `width` places along x: of the points that follow one
// another at one place the first, the smallest, the largest and the last, with the widest of their
// bands. A gap stays, as a point whose y is NaN. Lines of up to 4 * width points stay as they are.
Line thinned(const Line& line, const PlotScales& scales, size_t width);

}  // namespace fathom::report
