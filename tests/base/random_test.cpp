// Random numbers: Random123's known answers, and what a stream promises.
#include "fathom/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace fathom {
namespace {

// kat_vectors of Random123 1.14, philox4x32-10; words in the order of the counter and the key.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint64_t ones = ~uint64_t{0};
  EXPECT_EQ(philox(ones, ones, ones),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// FNV-1a's published values.
TEST(NameHash, KnownAnswers) {
  EXPECT_EQ(name_hash(""), 0xcbf29ce484222325u);
  EXPECT_EQ(name_hash("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(name_hash("foobar"), 0x85944171f73967e8u);
}

constexpr uint64_t kDraws = 100000;

TEST(RandomStream, UniformFillsTheUnitIntervalEvenly) {
  const RandomStream stream(1, "uniform");
  constexpr int kBins = 20;
  std::vector<double> counts(kBins);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = stream.uniform(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[static_cast<size_t>(u * kBins)];
  }
  const double expected = static_cast<double>(kDraws) / kBins;
  double chi_square = 0;
  for (const double n : counts) chi_square += (n - expected) * (n - expected) / expected;
  EXPECT_LT(chi_square, 43.8);  // 19 degrees of freedom, p = 0.001
  EXPECT_GT(chi_square, 5.4);   // more even than chance allows is no chance either
}

TEST(RandomStream, NormalHasTheMomentsOfANormal) {
  const RandomStream stream(2, "normal");
  double sum[5] = {};
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = stream.normal(i);
    ASSERT_TRUE(std::isfinite(x));
    for (int power = 1; power <= 4; ++power) sum[power] += std::pow(x, power);
  }
  // Four standard errors: Var(x^k) is 1, 2, 15 and 96 for a standard normal.
  const double n = kDraws, error = 4 / std::sqrt(n);
  EXPECT_NEAR(sum[1] / n, 0, error);
  EXPECT_NEAR(sum[2] / n, 1, error * std::sqrt(2));
  EXPECT_NEAR(sum[3] / n, 0, error * std::sqrt(15));
  EXPECT_NEAR(sum[4] / n, 3, error * std::sqrt(96));
}

TEST(RandomStream, BelowIsEvenAndStaysBelow) {
  const RandomStream stream(3, "below");
  std::vector<double> counts(7);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const uint64_t k = stream.below(i, 7);
    ASSERT_LT(k, 7u);
    ++counts[k];
  }
  for (const double n : counts) EXPECT_NEAR(n / kDraws, 1.0 / 7, 4 * std::sqrt(6.0 / 49 / kDraws));
  EXPECT_EQ(stream.below(0, 1), 0u);
  // Large ranges are reached to their ends.
  const uint64_t large = ~uint64_t{0};
  uint64_t most = 0;
  for (uint64_t i = 0; i < 1000; ++i) most = std::max(most, stream.below(i, large));
  EXPECT_GT(most, large / 100 * 99);
}

double correlation(const RandomStream& a, const RandomStream& b, uint64_t lag) {
  double sum = 0;
  for (uint64_t i = 0; i < kDraws; ++i) sum += a.normal(i) * b.normal(i + lag);
  return sum / kDraws;
}

TEST(RandomStream, StreamsSeedsAndNeighboursAreUncorrelated) {
  const double error = 4 / std::sqrt(static_cast<double>(kDraws));
  const RandomStream stream(4, "a");
  EXPECT_NEAR(correlation(stream, stream, 1), 0, error);
  EXPECT_NEAR(correlation(stream, RandomStream(4, "b"), 0), 0, error);
  EXPECT_NEAR(correlation(stream, RandomStream(5, "a"), 0), 0, error);
  EXPECT_NEAR(correlation(stream, stream, 0), 1, error * std::sqrt(2));
}

TEST(RandomStream, AValueDependsOnSeedNameAndIndexAlone) {
  const RandomStream stream(6, "init/head.0.weight");
  const double first = stream.uniform(41);
  for (uint64_t i = 0; i < 41; ++i) stream.normal(i);
  EXPECT_EQ(stream.uniform(41), first);
  EXPECT_EQ(RandomStream(6, "init/head.0.weight").uniform(41), first);
  EXPECT_NE(RandomStream(6, "init/head.1.weight").uniform(41), first);
  EXPECT_NE(RandomStream(7, "init/head.0.weight").uniform(41), first);
  EXPECT_NE(stream.uniform(uint64_t{41} << 32), first);
}

}  // namespace
}  // namespace fathom
