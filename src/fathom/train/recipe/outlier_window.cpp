#include "fathom/train/recipe/outlier_window.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"

namespace fathom {

// Summed anew at each call, oldest first: a running sum would depend on all values ever seen, and a
// resumed run on where it was interrupted.
double OutlierWindow::score(double value) const {
  if (count() < size_) return 0;
  double sum = 0, squares = 0;
  for (const double x : values_) sum += x;
  const auto n = static_cast<double>(values_.size());
  const double mean = sum / n;
  for (const double x : values_) squares += (x - mean) * (x - mean);
  const double deviation = std::sqrt(squares / n);
  return deviation > 0 ? (value - mean) / deviation : 0;
}

void OutlierWindow::add(double value) {
  values_.push_back(value);
  while (count() > size_) values_.pop_front();
}

OutlierWindow OutlierWindow::resized(int64_t size) const {
  OutlierWindow window(size);
  for (const double x : values_) window.add(x);
  return window;
}

void to_json(nlohmann::json& out, const OutlierWindow& window) {
  out = std::vector<double>(window.values_.begin(), window.values_.end());
}

void from_json(const nlohmann::json& in, OutlierWindow& window) {
  if (!in.is_array()) fail("an outlier window is not a list of numbers");
  window.values_.clear();
  for (const nlohmann::json& x : in) {
    if (!x.is_number() || !std::isfinite(x.get<double>()))
      fail("an outlier window holds something else than finite numbers");
    window.add(x.get<double>());
  }
}

}  // namespace fathom
