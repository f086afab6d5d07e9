// Curves are read between their points and nowhere else.
#include "fathom/study/compare/curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace fathom {
namespace {

using ::testing::ElementsAre;

const Curve kCurve = {{0, 100, 200, 400}, {4, 3, 2.5, 2}};

TEST(CurveOfPoints, IsReadAlongStraightLines) {
  EXPECT_EQ(value_at(kCurve, 100), 3);
  EXPECT_EQ(value_at(kCurve, 150), 2.75);
  EXPECT_EQ(value_at(kCurve, 300), 2.25);
  EXPECT_EQ(value_at(kCurve, 0), 4);
  EXPECT_EQ(value_at(kCurve, 400), 2);
}

TEST(CurveOfPoints, IsNeverExtrapolated) {
  EXPECT_FALSE(value_at(kCurve, -1));
  EXPECT_FALSE(value_at(kCurve, 400.001));
  EXPECT_FALSE(value_at(kCurve, NAN));
  EXPECT_FALSE(value_at({}, 0));
  EXPECT_FALSE(mean_until(kCurve, 500, 2));
}

TEST(CurveOfPoints, EndsInAMeanOfItsLastEvaluations) {
  EXPECT_EQ(mean_until(kCurve, 400, 1), 2);
  EXPECT_EQ(mean_until(kCurve, 400, 2), 2.25);
  EXPECT_EQ(mean_until(kCurve, 300, 2), (2.25 + 2.5) / 2) << "what lies between counts as one";
  EXPECT_EQ(mean_until(kCurve, 100, 99), 3.5) << "as many as there are";
}

TEST(CurveOfPoints, SaysWhenALevelIsReached) {
  EXPECT_EQ(first_at(kCurve, 3, 400, true), 100);
  EXPECT_EQ(first_at(kCurve, 2.75, 400, true), 150);
  EXPECT_EQ(first_at(kCurve, 9, 400, true), 0) << "it begins there";
  EXPECT_FALSE(first_at(kCurve, 1.9, 400, true));
  EXPECT_FALSE(first_at(kCurve, 2.2, 300, true)) << "only after the end";
  const Curve accuracy = {{0, 10, 20}, {0, 0.5, 1}};
  EXPECT_EQ(first_at(accuracy, 0.75, 20, false), 15);
}

TEST(CurveOfPoints, WhatGoesUpAgainHasReachedItsLevelOnce) {
  const Curve c = {{0, 1, 2, 3}, {4, 2, 5, 1}};
  EXPECT_EQ(first_at(c, 3, 3, true), 0.5);
  EXPECT_EQ(best_until(c, 2, true), 2);
  EXPECT_EQ(best_until(c, 2.75, true), 2);
  EXPECT_EQ(best_until(c, 3, true), 1);
  EXPECT_EQ(best_until(c, 1.5, false), 4);
}

TEST(CurveOfPoints, WhatIsNoNumberReachesNothing) {
  const Curve c = {{0, 1, 2, 3}, {4, NAN, 2, 1}};
  EXPECT_EQ(first_at(c, 3, 3, true), 2) << "there is no line from nowhere";
  EXPECT_EQ(best_until(c, 3, true), 1);
  EXPECT_TRUE(std::isnan(*value_at(c, 0.5)));
}

TEST(CurveOfPoints, AscendsEvenWhereItsRunWentBack) {
  const Curve c = curve_of({0, 10, 20, 15, 30, NAN}, {5, 4, 3, 3.5, 2, 1});
  EXPECT_THAT(c.x, ElementsAre(0, 10, 15, 30));
  EXPECT_THAT(c.y, ElementsAre(5, 4, 3.5, 2));
}

}  // namespace
}  // namespace fathom
