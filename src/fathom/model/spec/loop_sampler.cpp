#include "fathom/model/spec/loop_sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>
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

  // Mean of f(rate).
  double mean_of(const std::function<double(double)>& f) const {
    double mean = 0;
    for (size_t i = 0; i < rates_.size(); ++i) mean += weights_[i] * f(rates_[i]);
    return mean;
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

// E[min(P, m)] of a Poisson number P = m - the sum of (m - n) P(n) below m.
double capped_poisson(double rate, double m) {
  const double reach = 12 * std::sqrt(m);
  if (rate < m - reach) return rate;
  if (rate > m + reach) return m;
  double p = std::exp((m - 1) * std::log(rate) - rate - std::lgamma(m)), mean = m;
  for (double n = m - 1; n >= 0 && n > m - 2 * reach; --n) {
    mean -= (m - n) * p;
    p *= n / rate;
  }
  return mean;
}

// E[min(1 + P, kMostLoops)].
double capped_mean(const LoopSampler& s) {
  constexpr auto kMost = static_cast<double>(kMostLoops - 1);
  return 1 +
         LogPoisson(s, kMostLoops).mean_of([](double rate) { return capped_poisson(rate, kMost); });
}

// Hardly any rate is so large: four standard deviations.
double large_rate(const LoopSampler& s) {
  return std::exp(centre(s) + 4 * s.sigma);
}

// Integrals take milliseconds and more, and a configuration asks for the same ones many times.
double remembered(const LoopSampler& s, double (*integral)(const LoopSampler&)) {
  using Key = std::tuple<double, double, int64_t, double (*)(const LoopSampler&)>;
  static thread_local std::map<Key, double> known;
  const Key key{s.rbar, s.sigma, s.clamp, integral};
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  constexpr size_t kMany = 256;
  if (known.size() >= kMany) known.clear();
  const double value = integral(s);
  known[key] = value;
  return value;
}

// A count that is reached by hardly any draw.
double rare_count(const LoopSampler& s) {
  // Chebyshev would be far off; a normal approximation of t is not, and the rest is Poisson's.
  const double most = large_rate(s);
  const auto bound = static_cast<int64_t>(
      std::min(static_cast<double>(kMostLoops), most + 10 * std::sqrt(most) + 10));
  const LogPoisson p(s, bound);
  double above = 1;
  int64_t n = 0;
  for (; n < bound && above > kRare; ++n) above -= p(n);
  return static_cast<double>(std::clamp<int64_t>(n, 1, kMostLoops));  // 1 + the last number taken
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
      if (cuts) return remembered(*this, clamped_mean);
      return large_rate(*this) > static_cast<double>(kMostLoops) ? remembered(*this, capped_mean)
                                                                 : rbar + 1;
  }
  return 1;
}

int64_t LoopSampler::largest() const {
  if (strategy == LoopSampling::kLogPoisson) {
    if (clamp > 0) return clamp;
    return static_cast<int64_t>(remembered(*this, rare_count));
  }
  if (strategy == LoopSampling::kUniform && clamp > 0) return std::min(clamp, max_loops);
  return max_loops;
}

}  // namespace fathom
