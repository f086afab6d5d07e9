#include "fathom/model/spec/loop_sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fathom {
namespace {

constexpr double kRare = 1e-3;

// Mean of t, whose exponential has the mean rbar.
double centre(const LoopSampler& s) {
  return std::log(s.rbar) - s.sigma * s.sigma / 2;
}

// The number of events in one unit of time, exponential times apart.
int64_t poisson(double rate, const RandomStream& numbers, uint64_t first) {
  double time = 0;
  int64_t events = 0;
  while (events < kMostLoops) {
    time -= std::log1p(-numbers.uniform(first++));
    if (time > rate) break;
    ++events;
  }
  return events;
}

// P(n) of the Poisson number, from 0 on: the integral over t by the trapezoidal rule, whose error
// falls faster than any power of the step where the integrand is smooth.
class LogPoisson {
 public:
  LogPoisson(const LoopSampler& s, int64_t most) {
    constexpr double kReach = 8;  // standard deviations
    // As a function of t the Poisson weight of n is a bell of width 1 / sqrt(n).
    const double step =
        std::min(0.02, 0.25 / (s.sigma * std::sqrt(static_cast<double>(most) + 1) + 1e-9));
    const auto half = static_cast<int64_t>(std::ceil(kReach / step));
    for (int64_t i = -half; i <= half; ++i) {
      const double z = step * static_cast<double>(i);
      logs_.push_back(centre(s) + s.sigma * z);
      rates_.push_back(std::exp(logs_.back()));
      weights_.push_back(step * std::exp(-z * z / 2) / std::sqrt(2 * M_PI));
    }
  }

  double operator()(int64_t n) const {
    const auto x = static_cast<double>(n);
    const double factorial = std::lgamma(x + 1);
    double p = 0;
    for (size_t i = 0; i < logs_.size(); ++i)
      p += weights_[i] * std::exp(x * logs_[i] - rates_[i] - factorial);
    return p;
  }

 private:
  std::vector<double> logs_, rates_, weights_;
};

// E[min(1 + P, clamp)] = 1 + sum of P(P >= j) over j from 1 to clamp - 1.
double clamped_mean(const LoopSampler& s) {
  const LogPoisson p(s, s.clamp);
  double mean = 1, at_least = 1;
  for (int64_t j = 1; j < s.clamp; ++j) mean += at_least -= p(j - 1);
  return std::max(1.0, mean);
}

}  // namespace

int64_t LoopSampler::draw(const RandomStream& numbers) const {
  int64_t count = max_loops;
  if (strategy == LoopSampling::kUniform)
    count = 1 + static_cast<int64_t>(numbers.below(0, static_cast<uint64_t>(max_loops)));
  if (strategy == LoopSampling::kLogPoisson)
    count = 1 + poisson(std::exp(centre(*this) + sigma * numbers.normal(0)), numbers, 1);
  if (draws() && clamp > 0) count = std::min(count, clamp);
  return std::clamp<int64_t>(count, 1, kMostLoops);
}

double LoopSampler::mean() const {
  const auto K = static_cast<double>(max_loops), c = static_cast<double>(clamp);
  const bool cuts = clamp > 0 && (strategy != LoopSampling::kUniform || clamp < max_loops);
  switch (strategy) {
    case LoopSampling::kFixed:
      return K;
    case LoopSampling::kUniform:
      return cuts ? (c * (c + 1) / 2 + (K - c) * c) / K : (K + 1) / 2;
    case LoopSampling::kLogPoisson:
      return cuts ? clamped_mean(*this) : rbar + 1;
  }
  return 1;
}

int64_t LoopSampler::largest() const {
  if (strategy == LoopSampling::kLogPoisson) {
    if (clamp > 0) return clamp;
    // Chebyshev would be far off; a normal approximation of t is not, and the rest is Poisson's.
    const double most = std::exp(centre(*this) + 4 * sigma);
    const auto bound = static_cast<int64_t>(
        std::min(static_cast<double>(kMostLoops), most + 10 * std::sqrt(most) + 10));
    const LogPoisson p(*this, bound);
    double above = 1;
    int64_t n = 0;
    for (; n < bound && above > kRare; ++n) above -= p(n);
    return std::clamp<int64_t>(n, 1, kMostLoops);  // 1 + the last number taken away
  }
  if (strategy == LoopSampling::kUniform && clamp > 0) return std::min(clamp, max_loops);
  return max_loops;
}

}  // namespace fathom
