// How `fathom bench` takes times and sums them up.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

namespace fathom {

template <class F>
double seconds_of(const F& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The smallest of `times` that at least `share` of them do not exceed.
inline double quantile(std::vector<double> times, double share) {
  std::sort(times.begin(), times.end());
  const auto n = static_cast<double>(times.size());
  return times[static_cast<size_t>(std::clamp(std::ceil(share * n) - 1, 0.0, n - 1))];
}

// The median of what a second did: of repeats whose work differs each one's own.
inline double median_rate(const std::vector<double>& work, const std::vector<double>& times) {
  std::vector<double> rates;
  for (size_t i = 0; i < times.size(); ++i) rates.push_back(work.at(i) / times[i]);
  return quantile(std::move(rates), 0.5);
}

}  // namespace fathom
