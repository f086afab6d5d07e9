// Entropies, margins and divergences of next-token distributions are those of the definition.
#include "fathom/ops/score_rows.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "fathom/ops/ops.h"
#include "ops/testing.h"

namespace fathom::testing {
namespace {

Tensor scores(int64_t R, int64_t V, unsigned seed) {
  return (4 * random_normal({R, V}, seed)).to(at::kFloat);
}

TEST(ScoreRows, AreThoseOfTheDefinition) {
  for (const int64_t R : {0, 1, 5, 300})
    for (const int64_t V : {1, 2, 11, 200})
      for (const double temperature : {1.0, 1.7}) {
        SCOPED_TRACE(::testing::Message() << R << " " << V << " " << temperature);
        const Tensor a = scores(R, V, 1), b = scores(R, V, 2);
        const Tensor by_hand[] = {entropies(a, temperature), margins(a, temperature),
                                  divergences(a, b, temperature), divergences_min_p(a, b)};
        const PlainOperations plain;
        const Tensor exact[] = {entropies(a, temperature), margins(a, temperature),
                                divergences(a, b, temperature), divergences_min_p(a, b)};
        for (int i = 0; i < 4; ++i) {
          ASSERT_EQ(by_hand[i].sizes(), exact[i].sizes());
          EXPECT_EQ(by_hand[i].scalar_type(), at::kDouble);
          EXPECT_LE(max_difference(by_hand[i], exact[i]), 1e-12) << i;
        }
      }
}

TEST(ScoreRows, ARowDoesNotDependOnTheOthers) {
  const Tensor a = scores(300, 50, 1), b = scores(300, 50, 2);
  for (const int64_t i : {0, 7, 299}) {
    const Tensor x = a.narrow(0, i, 1), y = b.narrow(0, i, 1);
    EXPECT_TRUE(same_bits(entropies(a, 1).narrow(0, i, 1), entropies(x, 1)));
    EXPECT_TRUE(same_bits(margins(a, 1).narrow(0, i, 1), margins(x, 1)));
    EXPECT_TRUE(same_bits(divergences(a, b, 1).narrow(0, i, 1), divergences(x, y, 1)));
    EXPECT_TRUE(same_bits(divergences_min_p(a, b).narrow(0, i, 1), divergences_min_p(x, y)));
  }
}

// 0.6, 0.3, 0.05, 0.05 becomes 0.6, 0.3, 0.25, 0.25 of 1.4, and 0.5, 0.4, 0.09, 0.01 becomes 0.5,
// 0.4, 0.09, 0.25 of 1.24.
TEST(ScoreRows, MinPLeavesWhatIsNotFarBelowTheLikeliest) {
  const auto ln = [](std::vector<float> p) {
    return at::tensor(p, at::TensorOptions(at::kFloat)).log().unsqueeze(0);
  };
  const Tensor a = ln({0.6F, 0.3F, 0.05F, 0.05F}), b = ln({0.5F, 0.4F, 0.09F, 0.01F});
  const Tensor tails = ln({0.6F, 0.3F, 0.02F, 0.08F}) + 3;  // 0.08 stays, 0.02 does not
  const auto expect = [&] {
    EXPECT_NEAR(divergences_min_p(a, b).item<double>(), 0.0775685, 1e-6);
    EXPECT_GT(divergences_min_p(a, tails).item<double>(), 0.01);
    // Below a tenth: how far below is no matter.
    EXPECT_NEAR(divergences_min_p(a, ln({0.6F, 0.3F, 0.059F, 0.041F})).item<double>(), 0, 1e-6);
    EXPECT_GT(divergences(a, ln({0.6F, 0.3F, 0.059F, 0.041F}), 1).item<double>(), 1e-3);
  };
  expect();
  const PlainOperations plain;
  expect();
}

// A rule that leaves where nothing changed must not be told of less than nothing.
TEST(ScoreRows, NothingDiffersByLessThanNothing) {
  const Tensor a = scores(2000, 200, 5);
  const Tensor b = a + 1e-7 * scores(2000, 200, 6);
  EXPECT_GE(divergences(a, b, 1).min().item<double>(), 0);
  const PlainOperations plain;
  EXPECT_GE(divergences(a, b, 1).min().item<double>(), 0);
}

TEST(ScoreRows, OfOtherLayoutsAndTypesAreTheSame) {
  const Tensor a = scores(20, 6, 1), b = scores(20, 6, 2);
  const Tensor columns = a.t().contiguous().t();
  ASSERT_FALSE(columns.is_contiguous());
  EXPECT_LE(max_difference(entropies(columns, 1), entropies(a, 1)), 1e-14);
  EXPECT_LE(max_difference(divergences(columns, b, 1), divergences(a, b, 1)), 1e-14);
  EXPECT_LE(max_difference(margins(a.to(at::kDouble), 1), margins(a, 1)), 1e-14);
}

TEST(ScoreRows, OfWhatIsTheSameNothingDiffers) {
  const Tensor a = scores(4, 30, 1);
  EXPECT_EQ(divergences(a, a.clone(), 1).abs().max().item<double>(), 0);
  const Tensor flat = at::zeros({1, 8}, at::TensorOptions(at::kFloat));
  EXPECT_NEAR(entropies(flat, 1).item<double>(), std::log(8), 1e-15);
  EXPECT_EQ(margins(flat, 1).item<double>(), 0);
  // What is no number is no score.
  Tensor broken = scores(1, 8, 3);
  broken.data_ptr<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  for (const Tensor& score : {entropies(broken, 1), margins(broken, 1),
                              divergences(broken, flat, 1), divergences(flat, broken, 1),
                              divergences_min_p(broken, flat), divergences_min_p(flat, broken)})
    EXPECT_TRUE(std::isnan(score.item<double>()));
}

}  // namespace
}  // namespace fathom::testing
