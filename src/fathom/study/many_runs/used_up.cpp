#include "fathom/study/many_runs/used_up.h"

#include <cmath>
#include <limits>

namespace fathom {

UsedUp::UsedUp(const RunStore& store, const std::string& run, const std::string& what) {
  std::vector<double> steps, values;
  for (const Point& point : store.series(run, "train/" + what)) {
    if (steps.empty() && point.step > 0) steps = values = {0};
    steps.push_back(static_cast<double>(point.step));
    values.push_back(point.value);
  }
  curve_ = curve_of(steps, values);
}

double UsedUp::at(double step) const {
  if (curve_.x.empty() && per_step_ > 0) return per_step_ * step;
  return value_at(curve_, step).value_or(std::numeric_limits<double>::quiet_NaN());
}

std::vector<double> UsedUp::at(const std::vector<double>& steps) const {
  std::vector<double> out;
  for (const double step : steps) {
    out.push_back(at(step));
    if (std::isnan(out.back())) return {};
  }
  return out;
}

}  // namespace fathom
