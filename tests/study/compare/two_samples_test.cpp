// Tests of two sets of runs, against published examples.
#include "fathom/study/compare/two_samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Student's own: hours of sleep gained by ten patients with each of two drugs.
const std::vector<double> kFirst = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
const std::vector<double> kSecond = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};

TEST(Welch, GivesStudentsSleepDataTheirPublishedNumbers) {
  const Difference d = welch(kFirst, kSecond, 0.95);
  EXPECT_EQ(d.test, TestKind::kWelch);
  EXPECT_NEAR(d.difference, 1.58, 1e-12);
  EXPECT_NEAR(d.t, 1.8608, 5e-5);
  EXPECT_NEAR(d.df, 17.776, 5e-4);
  EXPECT_NEAR(d.p, 0.07939, 5e-6);
  EXPECT_NEAR(d.low, -0.2054832, 5e-7);
  EXPECT_NEAR(d.high, 3.3654832, 5e-7);
}

TEST(Welch, TakesEachSideByItsOwnSpread) {
  const std::vector<double> a = {27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1,
                                 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4};
  const std::vector<double> b = {27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0,
                                 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4};
  const Difference d = welch(a, b, 0.95);
  EXPECT_NEAR(d.t, 2.45535639828601, 1e-9);
  EXPECT_NEAR(d.df, 24.98852929023142, 1e-8);
  EXPECT_NEAR(d.p, 0.021378001462873, 1e-9);
}

TEST(Paired, GivesStudentsSleepDataTheirPublishedNumbers) {
  const Difference d = paired(kFirst, kSecond, 0.95);
  EXPECT_EQ(d.test, TestKind::kPaired);
  EXPECT_NEAR(d.t, 4.0621, 5e-5);
  EXPECT_EQ(d.df, 9);
  EXPECT_NEAR(d.p, 0.002833, 5e-7);
  EXPECT_NEAR(d.low, 0.7001142, 5e-7);
  EXPECT_NEAR(d.high, 2.4598858, 5e-7);
}

TEST(TwoSamples, ExchangedSidesExchangeTheSign) {
  const Difference there = welch(kFirst, kSecond, 0.9), back = welch(kSecond, kFirst, 0.9);
  EXPECT_EQ(there.difference, -back.difference);
  EXPECT_EQ(there.p, back.p);
  EXPECT_NEAR(there.low, -back.high, 1e-14);
}

TEST(TwoSamples, WithoutEnoughRunsThereIsNoTestAndItSaysWhy) {
  for (const Difference& d : {welch({1}, {2, 3}, 0.95), welch({1, 2}, {3}, 0.95)}) {
    EXPECT_EQ(d.test, TestKind::kNone);
    EXPECT_THAT(d.why_none, HasSubstr("no test with one run"));
    EXPECT_TRUE(std::isnan(d.p) && std::isnan(d.low) && std::isnan(detectable(d, 0.95)));
  }
  EXPECT_EQ(welch({1}, {2, 4}, 0.95).difference, 2);
  EXPECT_THAT(paired({1}, {2}, 0.95).why_none, HasSubstr("one pair"));
}

TEST(TwoSamples, WithoutSpreadOrWithARunThatDivergedThereIsNoTest) {
  EXPECT_THAT(welch({1, 1}, {2, 2}, 0.95).why_none, HasSubstr("without spread"));
  // The differences are 0.1, but for rounding.
  EXPECT_THAT(paired({1, 2, 3}, {1.1, 2.1, 3.1}, 0.95).why_none, HasSubstr("differ by the same"));
  EXPECT_THAT(welch({1, kNaN}, {2, 3}, 0.95).why_none, HasSubstr("no finite value"));
  EXPECT_THAT(paired({1, INFINITY}, {2, 3}, 0.95).why_none, HasSubstr("no finite value"));
}

TEST(TwoSamples, WhatIsDetectableShrinksWithMoreRuns) {
  std::vector<double> a, b;
  double before = INFINITY;
  for (const int n : {2, 4, 8, 16}) {
    while (static_cast<int>(a.size()) < n) {
      a.push_back(a.size() % 2 == 0 ? 1 : -1);
      b.push_back(b.size() % 2 == 0 ? 1 : -1);
    }
    const double least = detectable(welch(a, b, 0.95), 0.95);
    EXPECT_LT(least, before);
    before = least;
  }
}

TEST(Summary, IsMeanAndSpread) {
  const Summary s = summary_of({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(s.n, 8U);
  EXPECT_EQ(s.mean, 5);
  EXPECT_NEAR(s.sd, std::sqrt(32.0 / 7), 1e-15);
  EXPECT_EQ(summary_of({0.1, 0.1, 0.1}).sd, 0) << "alike is alike, whatever rounding does";
  EXPECT_EQ(summary_of({3}).sd, 0);
  EXPECT_EQ(summary_of({}).n, 0U);
}

TEST(Holm, RaisesEachByHowManyAreLeft) {
  const auto near = [](double x) { return ::testing::DoubleNear(x, 1e-15); };
  EXPECT_THAT(holm({0.01, 0.04, 0.03, 0.005}),
              ElementsAre(near(0.03), near(0.06), near(0.06), near(0.02)));
  EXPECT_THAT(holm({0.6, 0.7}), ElementsAre(1, 1));
  EXPECT_THAT(holm({0.02}), ElementsAre(0.02));
  const std::vector<double> with_none = holm({kNaN, 0.02, 0.5});
  EXPECT_TRUE(std::isnan(with_none[0]));
  EXPECT_EQ(with_none[1], 0.04) << "what is no test counts for none";
}

}  // namespace
}  // namespace fathom
