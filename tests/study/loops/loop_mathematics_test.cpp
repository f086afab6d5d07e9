// What analyses of loops compute, against what is known or computed another way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/base/random.h"
#include "fathom/study/loops/box_counting.h"
#include "fathom/study/loops/dynamics.h"
#include "fathom/study/loops/krylov.h"
#include "fathom/study/loops/loop_facts.h"
#include "fathom/study/loops/pca.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;

DenseMatrix random_matrix(size_t rows, size_t columns, const char* name) {
  const RandomStream random(7, name);
  DenseMatrix out(rows, columns);
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] = random.normal(i);
  return out;
}

std::vector<double> applied(const DenseMatrix& a, const std::vector<double>& x) {
  std::vector<double> y(a.rows);
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j < a.columns; ++j) y[i] += a.at(i, j) * x[j];
  return y;
}

DenseMatrix transposed(const DenseMatrix& a) {
  DenseMatrix out(a.columns, a.rows);
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j < a.columns; ++j) out.at(j, i) = a.at(i, j);
  return out;
}

LinearMap map_of(const DenseMatrix& a) {
  return [a](const std::vector<double>& x) { return applied(a, x); };
}

// Rows turned by a rotation of the first two coordinates and then of the next two.
DenseMatrix turned(const DenseMatrix& points, double angle) {
  DenseMatrix out = points;
  for (size_t first = 0; first + 1 < points.columns; ++first)
    for (size_t i = 0; i < points.rows; ++i) {
      const double x = out.at(i, first), y = out.at(i, first + 1);
      out.at(i, first) = std::cos(angle) * x - std::sin(angle) * y;
      out.at(i, first + 1) = std::sin(angle) * x + std::cos(angle) * y;
    }
  return out;
}

TEST(SymmetricEigen, GivesTheMatrixBack) {
  const DenseMatrix half = random_matrix(9, 9, "eigen");
  DenseMatrix a(9, 9);
  for (size_t i = 0; i < 9; ++i)
    for (size_t j = 0; j < 9; ++j) a.at(i, j) = half.at(i, j) + half.at(j, i);
  const Eigen eigen = symmetric_eigen(a);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_TRUE(i == 0 || eigen.values[i - 1] >= eigen.values[i]);
    for (size_t j = 0; j < 9; ++j) {
      double back = 0;
      for (size_t k = 0; k < 9; ++k)
        back += eigen.values[k] * eigen.vectors.at(k, i) * eigen.vectors.at(k, j);
      EXPECT_NEAR(back, a.at(i, j), 1e-12);
      EXPECT_NEAR(dot(eigen.vectors.row(i), eigen.vectors.row(j), 9), i == j, 1e-13);
    }
  }
}

TEST(LargestEigen, AreThoseOfTheWholeDecomposition) {
  const DenseMatrix x = random_matrix(70, 60, "largest");
  DenseMatrix a(60, 60);
  for (size_t i = 0; i < 60; ++i)
    for (size_t j = 0; j < 60; ++j)
      for (size_t k = 0; k < 70; ++k) a.at(i, j) += x.at(k, i) * x.at(k, j);
  const Eigen all = symmetric_eigen(a), some = largest_eigen(a, 3);
  ASSERT_EQ(some.values.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(some.values[i] / all.values[i], 1, 1e-10);
    EXPECT_NEAR(std::abs(dot(some.vectors.row(i), all.vectors.row(i), 60)), 1, 1e-5);
  }
}

TEST(PrincipalAxes, OfALineAreOne) {
  DenseMatrix line(40, 50);
  const DenseMatrix way = random_matrix(1, 50, "way");
  for (size_t i = 0; i < 40; ++i)
    for (size_t j = 0; j < 50; ++j) line.at(i, j) = 3 + static_cast<double>(i) * way.at(0, j);
  for (const DenseMatrix& points : {line, transposed(line)}) {
    const Pca p = pca(points, 3);
    EXPECT_NEAR(p.ratios[0], 1, 1e-12);
    EXPECT_NEAR(p.ratios[1], 0, 1e-12);
    EXPECT_NEAR(dot(p.axes.row(0), p.axes.row(0), p.axes.columns), 1, 1e-12);
  }
  // Even steps along it.
  const Pca p = pca(line, 2);
  const DenseMatrix places = p.project(line);
  const double step = places.at(1, 0) - places.at(0, 0);
  for (size_t i = 1; i < 40; ++i)
    EXPECT_NEAR(places.at(i, 0) - places.at(i - 1, 0), step, 1e-9 * std::abs(step));
}

TEST(PrincipalAxes, TurnWithThePoints) {
  DenseMatrix points = random_matrix(30, 5, "turn");
  for (size_t i = 0; i < 30; ++i)
    for (size_t j = 0; j < 5; ++j) points.at(i, j) *= static_cast<double>(6 - j);
  const Pca before = pca(points, 3), after = pca(turned(points, 0.7), 3);
  const DenseMatrix x = before.project(points), y = after.project(turned(points, 0.7));
  for (size_t a = 0; a < 3; ++a) {
    EXPECT_NEAR(after.ratios[a], before.ratios[a], 1e-12);
    const double sign = x.at(0, a) * y.at(0, a) > 0 ? 1 : -1;
    for (size_t i = 0; i < 30; ++i) EXPECT_NEAR(y.at(i, a), sign * x.at(i, a), 1e-9);
  }
}

TEST(PrincipalAxes, AreZerosWhereThereAreNoMore) {
  const DenseMatrix points = random_matrix(2, 4, "two");
  const Pca p = pca(points, 3);
  EXPECT_NEAR(p.ratios[0], 1, 1e-12);
  EXPECT_EQ(p.ratios[2], 0);
  EXPECT_EQ(dot(p.axes.row(2), p.axes.row(2), 4), 0);
  EXPECT_THAT(pca(DenseMatrix(3, 2), 2).ratios, ElementsAre(0, 0)) << "all points are the same";
}

TEST(BoxDimension, OfALineIsOneAndOfASquareTwo) {
  DenseMatrix line(4096, 3), square(400 * 400, 2);
  for (size_t i = 0; i < line.rows; ++i)
    for (size_t j = 0; j < 3; ++j) line.at(i, j) = static_cast<double>(i * (j + 1)) - 5;
  for (size_t i = 0; i < square.rows; ++i) {
    square.at(i, 0) = static_cast<double>(i % 400);
    square.at(i, 1) = static_cast<double>(i / 400) * 0.01;
  }
  EXPECT_NEAR(box_dimension(line), 1, 0.1);
  EXPECT_NEAR(box_dimension_of_run(line), 1, 0.1);
  EXPECT_NEAR(box_dimension(square), 2, 0.2);
}

TEST(BoxDimension, OfAPointIsNoneAndOfTwoHardlyKnown) {
  DenseMatrix same(5, 2), two(2, 3);
  for (double& x : same.values) x = 4;
  two.at(1, 0) = 1;
  EXPECT_EQ(box_dimension(same), 0);
  EXPECT_EQ(box_dimension_of_run(same), 0);
  EXPECT_EQ(box_dimension(DenseMatrix(1, 2)), 0);
  EXPECT_NEAR(box_dimension(two), 0, 1e-12) << "two boxes at every side";
  EXPECT_TRUE(std::isnan(box_dimension_of_run(two))) << "two boxes are all points";
}

TEST(SpectralRadius, OfRotationsAndTrianglesIsKnown) {
  // A turn, stretched: a pair of complex eigenvalues of absolute value 1.7.
  DenseMatrix a(4, 4);
  a.at(0, 0) = a.at(1, 1) = 1.7 * std::cos(1);
  a.at(1, 0) = 1.7 * std::sin(1);
  a.at(0, 1) = -a.at(1, 0);
  a.at(2, 2) = -1.2, a.at(3, 3) = 0.1, a.at(2, 3) = 50;
  EXPECT_NEAR(spectral_radius(a), 1.7, 1e-9);
  EXPECT_NEAR(spectral_radius(map_of(a), 4, 4), 1.7, 1e-9);
  DenseMatrix nilpotent(3, 3);
  nilpotent.at(0, 1) = nilpotent.at(1, 2) = 5;
  EXPECT_EQ(spectral_radius(nilpotent), 0);
  EXPECT_EQ(spectral_radius(map_of(DenseMatrix(3, 3)), 3, 3), 0);
}

TEST(Krylov, OfAllStepsIsExactAndOfFewNear) {
  const DenseMatrix a = random_matrix(24, 24, "krylov");
  const DenseMatrix a_t = transposed(a);
  DenseMatrix square(24, 24);
  for (size_t i = 0; i < 24; ++i)
    for (size_t j = 0; j < 24; ++j) square.at(i, j) = dot(a_t.row(i), a_t.row(j), 24);
  const double norm = std::sqrt(symmetric_eigen(square).values[0]);
  EXPECT_NEAR(spectral_radius(map_of(a), 24, 24), spectral_radius(a), 1e-9);
  EXPECT_NEAR(operator_norm(map_of(a), map_of(a_t), 24, 24), norm, 1e-9);
  const double few = operator_norm(map_of(a), map_of(a_t), 24, 8);
  EXPECT_NEAR(few, norm, 0.02 * norm);
  EXPECT_LE(few, norm * (1 + 1e-12)) << "from below";
}

DenseMatrix at_place(double x) {
  DenseMatrix out(2, 3);
  for (double& v : out.values) v = x;
  return out;
}

TEST(DriftToLoop, OfEqualStepsIsOne) {
  EXPECT_THAT(drift_to_loop({{at_place(1), at_place(2), at_place(3)}, {at_place(4), at_place(5)}}),
              ElementsAre(::testing::DoubleEq(1)));
  // The way into the middle group counts as its first step: (3 + 1) / 2.
  const auto drift = drift_to_loop(
      {{at_place(0), at_place(1)}, {at_place(4), at_place(5)}, {at_place(9), at_place(9)}});
  ASSERT_EQ(drift.size(), 2U);
  EXPECT_DOUBLE_EQ(drift[0], 3);
  EXPECT_DOUBLE_EQ(drift[1], 2);
  EXPECT_TRUE(drift_to_loop({{at_place(0)}}).empty());
  EXPECT_TRUE(std::isnan(drift_to_loop({{at_place(2), at_place(2)}, {at_place(3)}})[0]));
}

TEST(Convergence, OfAHalvingStateHalves) {
  std::vector<DenseMatrix> states;
  for (int k = 0; k < 5; ++k) states.push_back(at_place(1 - std::pow(0.5, k)));
  const Convergence c = convergence_of(states);
  const double length = std::sqrt(3.0);
  for (size_t k = 0; k < 4; ++k) {
    const double x = 1 - std::pow(0.5, double(k + 1)), moved = std::pow(0.5, double(k + 1));
    EXPECT_NEAR(c.change[k], moved * length, 1e-12);
    EXPECT_NEAR(c.norm[k], x * length, 1e-12);
    EXPECT_NEAR(c.relative[k], moved / x, 1e-12);
    EXPECT_TRUE(k == 0 ? std::isnan(c.angle[0]) : std::abs(c.angle[k] - 1) < 1e-12);
  }
  EXPECT_EQ(c.drift.size(), 4U);
}

TEST(MeanCurve, IsOverThoseThatAreStillThere) {
  const MeanCurve c = mean_curve({{1, 2, 3}, {3, NAN}, {5}});
  EXPECT_THAT(c.mean, ElementsAre(3, 2, 3));
  EXPECT_THAT(c.sd, ElementsAre(2, 0, 0));
  EXPECT_TRUE(std::isnan(mean_curve({{NAN}}).mean[0]));
}

}  // namespace
}  // namespace fathom
