#include "fathom/study/compare/student.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom {
namespace {

// lgamma() of the C library writes a global.
double log_gamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

// The continued fraction of I_x(a, b), by Lentz's method; converges fast for x < (a + 1)/(a + b +
// 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kPrecision = 1e-15;
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double h = d;
  for (int m = 1; m <= 10'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double factor = 1;
    for (const double term : {even, odd}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      factor = c * d;
      h *= factor;
    }
    if (std::abs(factor - 1) < kPrecision) break;
  }
  return h;
}

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

// The x in [low, high] at which the increasing `f` reaches `target`.
template <class F>
double where_reached(F f, double target, double low, double high) {
  for (int i = 0; i < 200 && high - low > 1e-13 * std::max(1.0, std::abs(high)); ++i) {
    const double middle = 0.5 * (low + high);
    (f(middle) < target ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// Of chi with `df` degrees of freedom, at s.
double log_chi_density(double s, double df) {
  return (df - 1) * std::log(s) - 0.5 * s * s - (0.5 * df - 1) * std::log(2.0) -
         log_gamma(0.5 * df);
}

}  // namespace

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) +
                                b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_two_sided(double t, double df) {
  if (std::isinf(t)) return 0;
  // Of the two sides of 1/2 the one that loses no digits.
  const double square = t * t;
  if (square > df) return incomplete_beta(0.5 * df, 0.5, df / (df + square));
  return 1 - incomplete_beta(0.5, 0.5 * df, square / (df + square));
}

double student_cdf(double t, double df) {
  const double tail = 0.5 * student_two_sided(t, df);
  return t < 0 ? tail : 1 - tail;
}

double student_quantile(double p, double df) {
  if (p == 0.5) return 0;
  const double tail = 2 * std::min(p, 1 - p);
  double high = 1;
  while (student_two_sided(high, df) > tail && high < 1e300) high *= 2;
  const double t =
      where_reached([&](double x) { return -student_two_sided(x, df); }, -tail, 0, high);
  return p < 0.5 ? -t : t;
}

double student_power(double delta, double df, double alpha) {
  const double critical = student_quantile(1 - 0.5 * alpha, df) / std::sqrt(df);
  // Chi is nearly normal around sqrt(df), with a spread of sqrt(1/2). By its root: with few degrees
  // of freedom all that counts is near 0.
  const double low = std::sqrt(std::max(1e-12, std::sqrt(df) - 8));
  const double high = std::sqrt(std::sqrt(df) + 8);
  constexpr int kIntervals = 128;
  const double h = (high - low) / kIntervals;
  double sum = 0;
  for (int i = 0; i <= kIntervals; ++i) {  // Simpson's rule
    const double root = low + h * i, s = root * root;
    const double found = normal_cdf(delta - critical * s) + normal_cdf(-delta - critical * s);
    sum += (i == 0 || i == kIntervals ? 1
            : i % 2 == 1              ? 4
                                      : 2) *
           found * 2 * root * std::exp(log_chi_density(s, df));
  }
  return std::min(1.0, sum * h / 3);
}

double detectable_difference(double df, double alpha, double power) {
  const auto found = [&](double delta) { return student_power(delta, df, alpha); };
  double high = 1;
  while (found(high) < power && high < 1e6) high *= 2;
  double low = 0;
  // Four digits are more than anybody reads.
  while (high - low > 1e-5 * high) {
    const double middle = 0.5 * (low + high);
    (found(middle) < power ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace fathom
