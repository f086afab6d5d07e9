// From scores to tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "errors.h"
#include "fathom/base/random.h"
#include "fathom/decode/sampler.h"
#include "ops/testing.h"

namespace fathom::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kSamplerNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kAlmostOne = 1 - 0x1.0p-53;  // the largest u a stream gives

// ln of 0.5, 0.25, 0.125, 0.125
const std::vector<float> kHalves = {-0.693147180f, -1.386294361f, -2.079441542f, -2.079441542f};

int64_t sample(const std::vector<float>& scores, double u, const SamplerOptions& options = {}) {
  return sample_token(scores, {}, options, u);
}

TEST(SampleToken, TakesTheIntervalThatHoldsU) {
  EXPECT_EQ(sample(kHalves, 0.0), 0);
  EXPECT_EQ(sample(kHalves, 0.49999), 0);
  EXPECT_EQ(sample(kHalves, 0.50001), 1);
  EXPECT_EQ(sample(kHalves, 0.74999), 1);
  EXPECT_EQ(sample(kHalves, 0.75001), 2);
  EXPECT_EQ(sample(kHalves, 0.87501), 3);
  EXPECT_EQ(sample(kHalves, kAlmostOne), 3);
}

TEST(SampleToken, IsShiftInvariantAndSafeForLargeScores) {
  for (const float shift : {-1e4f, 1e4f}) {
    const std::vector<float> scores = {shift, shift, shift - 1000};
    EXPECT_EQ(sample(scores, 0.49), 0);
    EXPECT_EQ(sample(scores, 0.51), 1);
    EXPECT_EQ(sample(scores, kAlmostOne), 1);
  }
}

TEST(SampleToken, TemperatureDividesTheScores) {
  // Squared at 1/2: 16, 4, 1, 1 of 22. Square roots at 2.
  EXPECT_EQ(sample(kHalves, 15.9 / 22, {0.5, {}}), 0);
  EXPECT_EQ(sample(kHalves, 16.1 / 22, {0.5, {}}), 1);
  EXPECT_EQ(sample(kHalves, 20.1 / 22, {0.5, {}}), 2);
  const double roots = 2 + std::sqrt(2.0) + 2;  // of 4, 2, 1, 1
  EXPECT_EQ(sample(kHalves, 1.99 / roots, {2, {}}), 0);
  EXPECT_EQ(sample(kHalves, 2.01 / roots, {2, {}}), 1);
  EXPECT_EQ(sample(kHalves, 3.42 / roots, {2, {}}), 2);
  for (const double t : {1e-6, 1e-300, 4.9e-324})
    EXPECT_EQ(sample(kHalves, kAlmostOne, {t, {}}), 0) << "nearly greedy";
}

TEST(SampleToken, TopKKeepsTheKLargest) {
  // Of 0.5 and 0.25.
  EXPECT_EQ(sample(kHalves, 0.66, {1, 2}), 0);
  EXPECT_EQ(sample(kHalves, 0.67, {1, 2}), 1);
  EXPECT_EQ(sample(kHalves, kAlmostOne, {1, 2}), 1);
  // The third largest is there twice: both stay.
  EXPECT_EQ(sample(kHalves, 0.88, {1, 3}), 3);
  EXPECT_EQ(sample(kHalves, 0.88, {1, 4}), 3);
  EXPECT_EQ(sample(kHalves, 0.88, {1, 400}), 3);
}

TEST(SampleToken, TopOneIsTheLargest) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const std::vector<double> wide = numbers(random_normal({37}, seed));
    const std::vector<float> scores(wide.begin(), wide.end());
    const auto largest = std::max_element(scores.begin(), scores.end()) - scores.begin();
    for (const double u : {0.0, 0.5, kAlmostOne}) EXPECT_EQ(sample(scores, u, {1, 1}), largest);
  }
}

TEST(SampleToken, NeverDrawsWhatIsNotFinite) {
  const std::vector<float> scores = {kSamplerNan, 0, -kInfinity, 0, kSamplerNan};
  EXPECT_EQ(sample(scores, 0.0), 1);
  EXPECT_EQ(sample(scores, 0.49), 1);
  EXPECT_EQ(sample(scores, 0.51), 3);
  EXPECT_EQ(sample(scores, kAlmostOne), 3);
  EXPECT_EQ(sample({kSamplerNan, 1, 0}, 0.9, {1, 1}), 1) << "a NaN is not among the k largest";
  EXPECT_EQ(sample({kInfinity, 0}, 0.5), 1);
}

TEST(SampleToken, WithoutAFiniteScoreItFails) {
  for (const float bad : {kSamplerNan, -kInfinity, kInfinity}) {
    SCOPED_TRACE(bad);
    EXPECT_THAT(caught([&] { sample({bad, bad}, 0.5); }).what(), ::testing::HasSubstr("finite"));
  }
}

TEST(SampleToken, FollowsTheDistribution) {
  const std::vector<double> wide = numbers(random_normal({10}, 3));
  const std::vector<float> scores(wide.begin(), wide.end());
  const RandomStream stream(1, "test");
  const int draws = 50000;
  for (const SamplerOptions& options : {SamplerOptions{1, {}}, {0.7, {}}, {1.5, 6}}) {
    std::vector<double> sorted = wide;
    std::sort(sorted.rbegin(), sorted.rend());
    const double threshold = sorted[size_t(options.top_k.value_or(10)) - 1];
    std::vector<double> p(10, 0.0), seen(10, 0.0);
    double sum = 0;
    for (size_t i = 0; i < 10; ++i)
      if (wide[i] >= threshold) sum += p[i] = std::exp(wide[i] / options.temperature);
    for (int i = 0; i < draws; ++i)
      ++seen[size_t(sample(scores, stream.uniform(uint64_t(i)), options))];
    double chi_square = 0;
    for (size_t i = 0; i < 10; ++i) {
      const double expected = draws * p[i] / sum;
      if (expected == 0)
        EXPECT_EQ(seen[i], 0);
      else
        chi_square += std::pow(seen[i] - expected, 2) / expected;
    }
    EXPECT_LT(chi_square, 33.7);  // exceeded once in 10,000 with 9 degrees of freedom
  }
}

int64_t sample_after(const std::vector<float>& scores, const std::vector<int64_t>& produced,
                     const SamplerOptions& options, double u) {
  return sample_token(scores, produced, options, u);
}

TEST(SampleToken, TopPIncludesTheTokenThatCrossesIt) {
  SamplerOptions o;
  const auto drawn = [&](double p) {
    o.top_p = p;
    return sample(kHalves, kAlmostOne, o);
  };
  EXPECT_EQ(drawn(0.01), 0) << "the first always stays";
  EXPECT_EQ(drawn(0.49), 0);
  EXPECT_EQ(drawn(0.51), 1) << "0.5 is not enough, so the next one is in";
  EXPECT_EQ(drawn(0.74), 1);
  EXPECT_EQ(drawn(0.76), 2) << "of two equal ones the lower id";
  EXPECT_EQ(drawn(0.88), 3);
  EXPECT_EQ(drawn(1), 3);
  // What is left is drawn in proportion: 0.5 and 0.25.
  o.top_p = 0.6;
  EXPECT_EQ(sample(kHalves, 0.66, o), 0);
  EXPECT_EQ(sample(kHalves, 0.67, o), 1);
}

TEST(SampleToken, TopPComesAfterTopK) {
  SamplerOptions o;
  o.top_k = 2;
  o.top_p = 0.7;  // of 0.75: the first alone has two thirds
  EXPECT_EQ(sample(kHalves, kAlmostOne, o), 1);
  o.top_p = 0.66;
  EXPECT_EQ(sample(kHalves, kAlmostOne, o), 0);
}

TEST(SampleToken, MinPIsAgainstTheLikeliest) {
  SamplerOptions o;
  const auto drawn = [&](double p) {
    o.min_p = p;
    return sample(kHalves, kAlmostOne, o);
  };
  EXPECT_EQ(drawn(0.24), 3);
  EXPECT_EQ(drawn(0.26), 1);
  EXPECT_EQ(drawn(0.51), 0);
  EXPECT_EQ(drawn(1), 0);
}

TEST(SampleToken, ThePenaltyAlwaysMakesLessLikely) {
  SamplerOptions o;
  o.repetition_penalty = 2;
  o.greedy = true;
  EXPECT_EQ(sample_after({3, 2, 1}, {}, o, 0), 0);
  EXPECT_EQ(sample_after({3, 2, 1}, {0}, o, 0), 1) << "1.5 against 2";
  EXPECT_EQ(sample_after({3, 2, 1}, {0, 0, 0}, o, 0), 1) << "once, however often it came";
  EXPECT_EQ(sample_after({-1, -1.5, -3}, {0}, o, 0), 1) << "-2 against -1.5";
  EXPECT_EQ(sample_after({-1, -2.5, -3}, {0}, o, 0), 0);
  o.repetition_penalty = 0.5;
  EXPECT_EQ(sample_after({3, 2, 1}, {1}, o, 0), 1) << "less than 1 invites repetition";
  o.repetition_penalty = 1;
  EXPECT_EQ(sample_after({3, 2, 1}, {0}, o, 0), 0);
  // It acts on the scores that the temperature has divided, so the order of the two does not
  // matter.
  o.greedy = false;
  o.repetition_penalty = 2, o.temperature = 2;
  const double p0 = std::exp(0.5), p1 = std::exp(0.5);  // 2 / 2 / 2 and 1 / 2
  EXPECT_EQ(sample_after({2, 1}, {0}, o, p0 / (p0 + p1) - 1e-6), 0);
  EXPECT_EQ(sample_after({2, 1}, {0}, o, p0 / (p0 + p1) + 1e-6), 1);
}

TEST(SampleToken, GreedyTakesTheFirstOfTheLikeliest) {
  SamplerOptions o;
  o.greedy = true;
  for (const double u : {0.0, 0.5, kAlmostOne}) {
    EXPECT_EQ(sample({1, 7, 7, 2}, u, o), 1);
    EXPECT_EQ(sample({kSamplerNan, -3, -2, kInfinity}, u, o), 2);
  }
}

}  // namespace
}  // namespace fathom::testing
