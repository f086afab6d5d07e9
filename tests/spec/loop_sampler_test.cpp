// How often loops run in training: distributions, their moments, and that a draw is its address's.
#include "fathom/model/spec/loop_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "errors.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

LoopSampler sampler_of(LoopSampling strategy, int64_t max_loops, int64_t clamp = 0) {
  LoopSampler s;
  s.strategy = strategy;
  s.max_loops = max_loops;
  s.rbar = 32;
  s.clamp = clamp;
  return s;
}

RandomStream numbers_of(uint64_t draw) {
  const PhiloxBlock block = philox(draw, 17, 4);
  return {3, block[0] | uint64_t{block[1]} << 32};
}

std::vector<int64_t> draws_of(const LoopSampler& s, uint64_t n) {
  std::vector<int64_t> counts;
  for (uint64_t i = 0; i < n; ++i) counts.push_back(s.draw(numbers_of(i)));
  return counts;
}

struct CountMoments {
  double mean = 0, variance = 0;
  int64_t least = kMostLoops, most = 0;
};

CountMoments moments_of(const std::vector<int64_t>& counts) {
  CountMoments m;
  const auto n = static_cast<double>(counts.size());
  for (const int64_t k : counts) {
    m.mean += static_cast<double>(k) / n;
    m.least = std::min(m.least, k);
    m.most = std::max(m.most, k);
  }
  for (const int64_t k : counts) m.variance += std::pow(static_cast<double>(k) - m.mean, 2) / n;
  return m;
}

TEST(LoopSampler, UniformHasEveryCountAlike) {
  const LoopSampler s = sampler_of(LoopSampling::kUniform, 15);
  std::map<int64_t, double> seen;
  constexpr uint64_t kDraws = 30000;
  for (const int64_t k : draws_of(s, kDraws)) ++seen[k];
  EXPECT_EQ(seen.begin()->first, 1);
  EXPECT_EQ(seen.rbegin()->first, 15);
  double chi_square = 0;
  for (const auto& [k, n] : seen) chi_square += std::pow(n - kDraws / 15.0, 2) / (kDraws / 15.0);
  EXPECT_LT(chi_square, 36.1) << "14 degrees of freedom, 1 in 1,000";
  EXPECT_EQ(s.mean(), 8);
  EXPECT_EQ(s.largest(), 15);
  EXPECT_EQ(sampler_of(LoopSampling::kUniform, 1).mean(), 1);
}

TEST(LoopSampler, LogPoissonHasItsMoments) {
  const LoopSampler s = sampler_of(LoopSampling::kLogPoisson, 30);
  constexpr uint64_t kDraws = 100000;
  const std::vector<int64_t> counts = draws_of(s, kDraws);
  const CountMoments m = moments_of(counts);
  EXPECT_NEAR(m.mean, 33, 0.3);
  EXPECT_NEAR(m.variance, 32 + 32 * 32 * (std::exp(0.25) - 1), 12);
  EXPECT_GE(m.least, 1);
  EXPECT_GT(m.most, 93) << "not clamped";
  EXPECT_EQ(s.mean(), 33);
  double above = 0;
  const int64_t largest = s.largest();
  for (const int64_t k : counts) above += k > largest ? 1.0 / kDraws : 0;
  EXPECT_GT(above, 0.0005);
  EXPECT_LT(above, 0.0015) << "1 in 1,000 is above the largest";
}

TEST(LoopSampler, TheMeanOfAClampedDrawIsTheTrueOne) {
  for (const auto strategy : {LoopSampling::kUniform, LoopSampling::kLogPoisson})
    for (const int64_t clamp : {1, 2, 7, 30, 60}) {
      const LoopSampler s = sampler_of(strategy, 30, clamp);
      const CountMoments m = moments_of(draws_of(s, 20000));
      EXPECT_NEAR(m.mean, s.mean(), 5 * std::sqrt(m.variance / 20000) + 1e-4) << clamp;
      EXPECT_LE(m.most, s.largest());
      EXPECT_EQ(s.largest(),
                strategy == LoopSampling::kUniform ? std::min<int64_t>(clamp, 30) : clamp);
    }
  LoopSampler few = sampler_of(LoopSampling::kLogPoisson, 30, 4000);
  EXPECT_NEAR(few.mean(), 33, 1e-3) << "a clamp that nothing reaches";
  few.rbar = 0.5;
  few.clamp = 2;  // 1 or 2: 2 - P(0)
  const CountMoments m = moments_of(draws_of(few, 20000));
  EXPECT_NEAR(few.mean(), m.mean, 0.02);
}

TEST(LoopSampler, NoMeanIsBeyondWhatCanBeDrawn) {
  LoopSampler s = sampler_of(LoopSampling::kLogPoisson, 30);
  s.rbar = 1000, s.sigma = 2;  // 1 in 20 is the most
  const CountMoments m = moments_of(draws_of(s, 3000));
  EXPECT_EQ(m.most, kMostLoops);
  EXPECT_NEAR(s.mean(), m.mean, 5 * std::sqrt(m.variance / 3000));
  EXPECT_LT(s.mean(), 700);
  EXPECT_EQ(s.mean(), LoopSampler(s).mean());
  s.sigma = 0.1;
  EXPECT_EQ(s.mean(), 1001) << "nothing is cut";
}

TEST(LoopSampler, FixedIsNoDraw) {
  LoopSampler s = sampler_of(LoopSampling::kFixed, 12, 3);
  EXPECT_FALSE(s.draws());
  EXPECT_EQ(s.draw(numbers_of(0)), 12);
  EXPECT_EQ(s.mean(), 12);
  EXPECT_EQ(s.largest(), 12);
}

Policy sampled_policy(size_t groups, bool by_sequence) {
  Policy policy;
  policy.loops.resize(groups);
  for (LoopPolicy& loop : policy.loops) {
    loop.sampler = sampler_of(LoopSampling::kUniform, 1000);
    loop.sampled_by_sequence = by_sequence;
  }
  return policy;
}

TEST(DrawnCounts, AreOfTheStepOrOfEachSequence) {
  std::vector<std::pair<size_t, int64_t>> asked;
  const auto numbers = [&](size_t group, int64_t sequence) {
    asked.emplace_back(group, sequence);
    return RandomStream(1, uint64_t(1000 * group + uint64_t(sequence + 1)));
  };
  const Policy step = with_drawn_counts(sampled_policy(2, false), 3, numbers);
  EXPECT_EQ(asked, (std::vector<std::pair<size_t, int64_t>>{{0, -1}, {1, -1}}));
  EXPECT_NE(step.loops[0].count, step.loops[1].count) << "groups are independent";
  EXPECT_TRUE(step.loops[0].counts.empty());
  asked.clear();
  const Policy each = with_drawn_counts(sampled_policy(1, true), 3, numbers);
  EXPECT_EQ(asked, (std::vector<std::pair<size_t, int64_t>>{{0, 0}, {0, 1}, {0, 2}}));
  const std::vector<int64_t>& counts = each.loops[0].counts;
  ASSERT_EQ(counts.size(), 3U);
  EXPECT_EQ(each.loops[0].count, *std::max_element(counts.begin(), counts.end()));
  EXPECT_NE(counts[0], counts[1]);
  EXPECT_EQ(with_drawn_counts(sampled_policy(1, true), 3, numbers).loops[0].counts, counts);
}

TEST(DrawnCounts, FixedGroupsKeepTheirs) {
  Policy policy = sampled_policy(2, false);
  policy.loops[1].sampler = {};
  policy.loops[1].count = 5;
  EXPECT_TRUE(draws_counts(policy, /*training=*/true));
  const auto numbers = [](size_t, int64_t) { return RandomStream(1, uint64_t{2}); };
  EXPECT_EQ(with_drawn_counts(policy, 2, numbers).loops[1].count, 5);
  policy.loops[0].sampler = {};
  EXPECT_FALSE(draws_counts(policy, /*training=*/true));
}

TEST(DrawnCounts, OfEvaluationAreOfEachSequence) {
  Policy policy = sampled_policy(2, /*by_sequence=*/false);
  policy.loops[1].count = 5;
  EXPECT_FALSE(draws_counts(policy, /*training=*/false));
  EXPECT_NO_THROW(refuse_sequences(policy));
  policy.loops[0].sampled_in_eval = true;
  EXPECT_TRUE(draws_counts(policy, /*training=*/false));
  const auto numbers = [](size_t group, int64_t sequence) {
    return RandomStream(1, uint64_t(1000 * group + uint64_t(sequence + 1)));
  };
  const Policy drawn = with_drawn_counts(policy, 3, numbers, /*training=*/false);
  EXPECT_EQ(drawn.loops[0].counts,
            with_drawn_counts(sampled_policy(1, true), 3, numbers).loops[0].counts);
  EXPECT_TRUE(drawn.loops[1].counts.empty()) << "its counts are training's alone";
  EXPECT_EQ(drawn.loops[1].count, 5);
  const Error e = testing::caught([&] { refuse_sequences(policy); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), ::testing::HasSubstr("loop_counts_eval = sampled"));
}

}  // namespace
}  // namespace fathom
