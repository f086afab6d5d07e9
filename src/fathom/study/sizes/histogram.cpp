#include "fathom/study/sizes/histogram.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace fathom {
namespace {

constexpr double kTail = 0.001;

Histogram between(double low, double high, size_t bins) {
  if (!(low < high)) --low, ++high;
  Histogram out;
  out.low = low;
  out.high = high;
  out.counts.assign(bins, 0);
  return out;
}

std::vector<double> finite_of(const std::vector<double>& values) {
  std::vector<double> out;
  std::copy_if(values.begin(), values.end(), std::back_inserter(out),
               [](double v) { return std::isfinite(v); });
  return out;
}

}  // namespace

void Histogram::add(double value) {
  if (std::isnan(value))
    ++undefined;
  else if (value < low)
    ++below;
  else if (value > high)
    ++above;
  else {
    // Halved, so that the width of ends far apart is finite.
    const double share = (value / 2 - low / 2) / (high / 2 - low / 2);
    const auto bin = static_cast<size_t>(share * static_cast<double>(counts.size()));
    ++counts[std::min(bin, counts.size() - 1)];
  }
}

Histogram robust_histogram(std::vector<double> sample, size_t bins) {
  sample = finite_of(sample);
  if (sample.empty()) return between(0, 0, bins);
  const auto last = static_cast<double>(sample.size() - 1);
  const auto at = [&](double quantile) {
    const auto place = sample.begin() + std::lround(quantile * last);
    std::nth_element(sample.begin(), place, sample.end());
    return *place;
  };
  const double low = at(kTail), high = at(1 - kTail);
  return between(low, high, bins);
}

Histogram whole_histogram(const std::vector<double>& values, size_t bins) {
  const std::vector<double> sound = finite_of(values);
  Histogram out = between(0, 0, bins);
  if (!sound.empty()) {
    const auto [least, most] = std::minmax_element(sound.begin(), sound.end());
    out = between(*least, *most, bins);
  }
  for (const double value : values) out.add(value);
  return out;
}

}  // namespace fathom
