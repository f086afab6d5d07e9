#include "fathom/study/compare/two_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "fathom/study/compare/student.h"

namespace fathom {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kPower = 0.8;

Difference no_test(double difference, std::string why) {
  Difference d;
  d.difference = difference;
  d.why_none = std::move(why);
  d.low = d.high = d.t = d.df = d.p = d.standard_error = kNone;
  return d;
}

// From the standard error on, all tests of means are alike.
Difference of_means(TestKind test, double difference, double error, double df, double confidence) {
  Difference d;
  d.test = test;
  d.difference = difference;
  d.standard_error = error;
  d.df = df;
  d.t = difference / error;
  d.p = student_two_sided(d.t, df);
  const double reach = error * student_quantile(0.5 + 0.5 * confidence, df);
  d.low = difference - reach;
  d.high = difference + reach;
  return d;
}

// Rounding is no spread.
bool is_rounding(double error, const Summary& a, const Summary& b) {
  return !(error > 1e-12 * std::max(std::abs(a.mean), std::abs(b.mean)));
}

std::string not_finite(const Summary& a, const Summary& b) {
  return std::isfinite(a.mean) && std::isfinite(b.mean) ? "" : "a run has no finite value";
}

}  // namespace

Summary summary_of(const std::vector<double>& values) {
  Summary s;
  s.n = values.size();
  if (values.empty()) return {0, kNone, kNone};
  // Differences from the first: values that are all alike have a spread of exactly 0.
  double sum = 0;
  for (const double v : values) sum += v - values[0];
  const auto n = static_cast<double>(s.n);
  s.mean = values[0] + sum / n;
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  s.sd = s.n > 1 ? std::sqrt(squares / (n - 1)) : 0;
  return s;
}

const char* test_name(TestKind test) {
  return test == TestKind::kWelch ? "Welch" : test == TestKind::kPaired ? "paired" : "-";
}

Difference welch(const std::vector<double>& a, const std::vector<double>& b, double confidence) {
  const Summary x = summary_of(a), y = summary_of(b);
  const double difference = y.mean - x.mean;
  if (x.n < 2 || y.n < 2)
    return no_test(difference, "no test with one run: more seeds would tell chance from effect");
  if (const std::string why = not_finite(x, y); !why.empty()) return no_test(difference, why);
  const double u = x.sd * x.sd / static_cast<double>(x.n);
  const double v = y.sd * y.sd / static_cast<double>(y.n);
  const double error = std::sqrt(u + v);
  if (is_rounding(error, x, y))
    return no_test(difference, "no test without spread: the runs are all alike");
  // Shares of the variance, so that nothing is squared twice.
  const double p = u / (u + v), q = v / (u + v);
  const double df =
      1 / (p * p / static_cast<double>(x.n - 1) + q * q / static_cast<double>(y.n - 1));
  return of_means(TestKind::kWelch, difference, error, df, confidence);
}

Difference paired(const std::vector<double>& a, const std::vector<double>& b, double confidence) {
  std::vector<double> differences;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) differences.push_back(b[i] - a[i]);
  const Summary s = summary_of(differences);
  if (s.n < 2)
    return no_test(s.mean, "no test with one pair: more seeds would tell chance from effect");
  if (!std::isfinite(s.mean)) return no_test(s.mean, "a run has no finite value");
  const double error = s.sd / std::sqrt(static_cast<double>(s.n));
  if (is_rounding(error, summary_of(a), summary_of(b)))
    return no_test(s.mean, "no test without spread: all pairs differ by the same");
  return of_means(TestKind::kPaired, s.mean, error, static_cast<double>(s.n - 1), confidence);
}

double detectable(const Difference& d, double confidence) {
  if (d.test == TestKind::kNone) return kNone;
  return d.standard_error * detectable_difference(d.df, 1 - confidence, kPower);
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order;
  for (size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return p[i] < p[j]; });
  std::vector<double> raised = p;
  double most = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    most = std::max(most, std::min(1.0, p[order[rank]] * static_cast<double>(order.size() - rank)));
    raised[order[rank]] = most;
  }
  return raised;
}

}  // namespace fathom
