// Runs as chance makes them: curves of a loss, with normal noise of each run, each evaluation and,
// where pairs are alike, each seed.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "fathom/study/compare/comparison.h"
#include "fathom/study/compare/student.h"

namespace fathom::testing {

class SimulatedRuns {
 public:
  explicit SimulatedRuns(uint64_t seed) : generator_(seed) {}

  // A group of `n` runs that are `better` below the others. Seeds are shared between groups, and
  // with `shared` what they add too; `data` is what groups are paired by.
  ComparedGroup group(const std::string& name, size_t n, double better, const std::string& data,
                      const std::vector<double>& shared) {
    ComparedGroup out{name, data, {}};
    for (size_t i = 0; i < n; ++i) {
      const double of_run = 0.01 * normal() + shared[i] - better;
      Curve curve;
      for (const double x : {0.0, 50.0, 100.0, 250.0, 500.0}) {
        curve.x.push_back(x);
        curve.y.push_back(1.5 + 2.5 * std::exp(-x / 120) + of_run + 0.005 * normal());
      }
      out.runs.push_back({name + std::to_string(i), std::to_string(i), std::move(curve)});
    }
    return out;
  }
  std::vector<double> of_seeds(size_t n) {
    std::vector<double> shared(n);
    for (double& s : shared) s = 0.05 * normal();
    return shared;
  }
  // Of one run's value at an evaluation.
  static double spread() { return std::hypot(0.01, 0.005); }

 private:
  double normal() {  // Box and Muller
    const double u = (static_cast<double>(generator_() >> 11) + 0.5) * 0x1p-53;
    const double v = (static_cast<double>(generator_() >> 11) + 0.5) * 0x1p-53;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
  }
  std::mt19937_64 generator_;
};

struct Rates {
  double early = 0, reached = 0, final = 0;  // shares of comparisons that found a difference
};

// `times` comparisons of two groups of `n` runs, the second one `better` by so much.
inline Rates found_rates(int times, size_t n, double better, bool is_paired, double confidence,
                         uint64_t seed) {
  SimulatedRuns runs(seed);
  ComparisonOptions options;
  options.confidence = confidence;
  options.early = 0.2;
  Rates rates;
  for (int i = 0; i < times; ++i) {
    const std::vector<double> shared = is_paired ? runs.of_seeds(n) : std::vector<double>(n);
    const ComparedGroup a = runs.group("a", n, 0, "one", shared);
    const ComparedGroup b = runs.group("b", n, better, is_paired ? "one" : "other", shared);
    for (const Measure& m : compare({a, b}, options).measures) {
      const Finding finding = m.groups[1].finding;
      double& rate = m.kind == Measure::Kind::kEarly     ? rates.early
                     : m.kind == Measure::Kind::kReached ? rates.reached
                                                         : rates.final;
      EXPECT_EQ(m.groups[1].difference.test, is_paired ? TestKind::kPaired : TestKind::kWelch);
      rate += finding == Finding::kBetter || finding == Finding::kWorse;
    }
  }
  for (double* rate : {&rates.early, &rates.reached, &rates.final}) *rate /= times;
  return rates;
}

// How far a share of `times` draws is from its probability in 999 of 1,000 cases at most.
inline double interval(double p, int times) {
  return 3.29 * std::sqrt(p * (1 - p) / times);
}

// Welch's rate of false positives for n against n of one normal distribution. With B the share of
// one of the two variances, which is Beta((n-1)/2, (n-1)/2), T is Student's with 2n - 2 degrees of
// freedom whatever B is, and compared with the quantile of (n-1) / (B^2 + (1-B)^2) of them.
inline double welch_rate(size_t n, double alpha) {
  const double k = 0.5 * static_cast<double>(n - 1);
  const double norm = std::exp(std::lgamma(2 * k) - 2 * std::lgamma(k));
  constexpr int kIntervals = 400;
  double sum = 0;
  for (int i = 0; i < kIntervals; ++i) {  // at the middles
    const double B = (i + 0.5) / kIntervals;
    const double df = 2 * k / (B * B + (1 - B) * (1 - B));
    const double density = norm * std::pow(B * (1 - B), k - 1);
    sum += density * student_two_sided(student_quantile(1 - 0.5 * alpha, df), 4 * k);
  }
  return sum / kIntervals;
}

// All that is said of false positives and of power, by so many comparisons each.
inline void check_rates(int times) {
  for (const double alpha : {0.05, 0.01}) {
    SCOPED_TRACE(alpha);
    const Rates pairs = found_rates(times, 3, 0, /*is_paired=*/true, 1 - alpha, 1);
    EXPECT_NEAR(pairs.final, alpha, interval(alpha, times));
    EXPECT_NEAR(pairs.early, alpha, interval(alpha, times));
    EXPECT_LT(pairs.reached, alpha + interval(alpha, times));
    for (const size_t n : {3, 10}) {
      const double expected = welch_rate(n, alpha);
      EXPECT_LE(expected, alpha + 1e-4) << "never more than is said";
      const Rates apart = found_rates(times, n, 0, /*is_paired=*/false, 1 - alpha, 2 + n);
      EXPECT_NEAR(apart.final, expected, interval(expected, times)) << n;
      EXPECT_NEAR(apart.early, expected, interval(expected, times)) << n;
      EXPECT_LT(apart.reached, alpha + interval(alpha, times)) << n;
    }
  }
  // A difference that is there is found as often as computed, and shared noise does not hide it.
  const double better = 0.02;
  const double of_pair = better / (SimulatedRuns::spread() * std::sqrt(2.0 / 6));
  const double of_paired = student_power(of_pair, 5, 0.05);
  EXPECT_NEAR(found_rates(times, 6, better, true, 0.95, 21).final, of_paired,
              interval(of_paired, times));
  const double of_mean = better / (SimulatedRuns::spread() * std::sqrt(2.0 / 10));
  const double of_welch = student_power(of_mean, 18, 0.05);
  EXPECT_NEAR(found_rates(times, 10, better, false, 0.95, 22).final, of_welch,
              interval(of_welch, times) + 0.01);
}

}  // namespace fathom::testing
