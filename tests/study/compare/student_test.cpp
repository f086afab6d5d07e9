// Student's distribution against closed forms, printed tables and integrals of its density.
#include "fathom/study/compare/student.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fathom {
namespace {

TEST(IncompleteBeta, IsATailOfTheBinomialDistribution) {
  for (const double x : {0.01, 0.2, 0.5, 0.77, 0.999}) {
    double tail = 0;  // of 4 trials at least 2
    for (const auto& [k, ways] : {std::pair{2, 6.0}, {3, 4.0}, {4, 1.0}})
      tail += ways * std::pow(x, k) * std::pow(1 - x, 4 - k);
    EXPECT_NEAR(incomplete_beta(2, 3, x), tail, 1e-14) << x;
    EXPECT_NEAR(incomplete_beta(3, 2, 1 - x), 1 - tail, 1e-14) << x;
    EXPECT_NEAR(incomplete_beta(1, 1, x), x, 1e-15);
    EXPECT_NEAR(incomplete_beta(0.5, 0.5, x), 2 / M_PI * std::asin(std::sqrt(x)), 1e-14);
  }
  EXPECT_EQ(incomplete_beta(2, 3, 0), 0);
  EXPECT_EQ(incomplete_beta(2, 3, 1), 1);
}

TEST(Student, HasClosedFormsForFewDegreesOfFreedom) {
  for (const double t : {-50.0, -3.0, -0.1, 0.0, 0.7, 2.0, 12.0}) {
    EXPECT_NEAR(student_cdf(t, 1), 0.5 + std::atan(t) / M_PI, 1e-14) << t;
    EXPECT_NEAR(student_cdf(t, 2), 0.5 + t / (2 * std::sqrt(2 + t * t)), 1e-14) << t;
    const double s = t / std::sqrt(3.0);
    EXPECT_NEAR(student_cdf(t, 3), 0.5 + (s / (1 + s * s) + std::atan(s)) / M_PI, 1e-14) << t;
    const double u = 1 + t * t / 4;
    EXPECT_NEAR(student_cdf(t, 4), 0.5 + 0.375 * t / std::sqrt(u) * (1 - t * t / u / 12), 1e-14);
  }
}

TEST(Student, HasTheQuantilesOfTheTables) {
  struct Line {
    double df, t975, t995;
  };
  for (const Line& line : {Line{1, 12.7062047, 63.6567412},
                           {2, 4.3026527, 9.9248432},
                           {4, 2.7764451, 4.6040949},
                           {10, 2.2281389, 3.1692727},
                           {30, 2.0422725, 2.7499957},
                           {120, 1.9799304, 2.6174211}}) {
    EXPECT_NEAR(student_quantile(0.975, line.df), line.t975, 1e-6) << line.df;
    EXPECT_NEAR(student_quantile(0.995, line.df), line.t995, 1e-6) << line.df;
    EXPECT_NEAR(student_quantile(0.025, line.df), -line.t975, 1e-6) << line.df;
  }
  EXPECT_NEAR(student_quantile(0.975, 1e9), 1.9599640, 1e-6) << "the normal one";
  EXPECT_EQ(student_quantile(0.5, 3), 0);
}

TEST(Student, IntegratesItsDensityAlsoBetweenWholeDegreesOfFreedom) {
  const double df = 7.3, t = 2.3;
  const double c = std::tgamma((df + 1) / 2) / std::tgamma(df / 2) / std::sqrt(df * M_PI);
  const auto density = [&](double x) { return c * std::pow(1 + x * x / df, -(df + 1) / 2); };
  constexpr int kIntervals = 2000;
  double sum = 0;
  for (int i = 0; i <= kIntervals; ++i)
    sum += (i == 0 || i == kIntervals ? 1 : i % 2 == 1 ? 4 : 2) * density(t * i / kIntervals);
  EXPECT_NEAR(student_two_sided(t, df), 1 - 2 * sum * t / kIntervals / 3, 1e-12);
}

TEST(Student, KeepsTheDigitsOfSmallProbabilities) {
  // Of Cauchy: 2/pi atan(1/t).
  EXPECT_NEAR(student_two_sided(1e9, 1) / (2 / M_PI * std::atan(1e-9)), 1, 1e-12);
  EXPECT_GT(student_two_sided(40, 30), 0);
  EXPECT_EQ(student_two_sided(0, 5), 1);
  EXPECT_EQ(student_two_sided(INFINITY, 5), 0);
}

// The sample sizes that textbooks print for two groups (d, n) and one.
TEST(Power, IsThatOfTheTextbooks) {
  EXPECT_NEAR(student_power(0.5 * std::sqrt(64 / 2.0), 126, 0.05), 0.8015, 2e-4);
  EXPECT_NEAR(student_power(1.0 * std::sqrt(17 / 2.0), 32, 0.05), 0.8070, 2e-4);
  EXPECT_NEAR(student_power(1.0 * std::sqrt(10.0), 9, 0.05), 0.8031, 2e-4);
  for (const double df : {1.0, 2.0, 4.0, 37.5})
    EXPECT_NEAR(student_power(0, df, 0.05), 0.05, 1e-5) << "nothing there: as often as it errs";
}

TEST(Power, SaysWhatCanBeDetected) {
  for (const double df : {1.0, 2.0, 4.0, 9.5, 100.0}) {
    const double least = detectable_difference(df, 0.05, 0.8);
    EXPECT_NEAR(student_power(least, df, 0.05), 0.8, 1e-4) << df;
  }
  // One degree of freedom: chi is below delta / 12.7 in 8 cases of 10 where delta is large.
  EXPECT_NEAR(detectable_difference(1, 0.05, 0.8), 12.7062 * 1.2816, 0.2);
}

}  // namespace
}  // namespace fathom
