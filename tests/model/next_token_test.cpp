// Scores that are asked for: of one row or several, with a cache, by another policy.
#include <gtest/gtest.h>

#include "fathom/base/error.h"
#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

const LoopSettings kQuiet = {3, 0, true, 0.0};

Rows rows_of(const std::vector<std::vector<int64_t>>& texts, std::vector<int64_t> firsts = {}) {
  firsts.resize(texts.size());
  return {texts, firsts, at::kCPU};
}

Asked asked(Exit exit, int64_t last = 1) {
  Asked a;
  a.exit = exit;
  a.last = last;
  return a;
}

TEST(NextTokens, OfTheLastRowsAreThoseOfShorterTexts) {
  const at::NoGradGuard no_grad;
  const auto model = corridor_model({}, kQuiet);
  const std::vector<std::vector<int64_t>> texts = {{1, 4, 2, 6, 3}, {5, 5}, {0, 2, 1}};
  constexpr int64_t kLast = 4;
  for (const Exit exit : {Exit::kFirstConfident, Exit::kLast}) {
    const NextToken all = model->next_token(rows_of(texts), asked(exit, kLast));
    ASSERT_EQ(all.scores_NV.sizes(), (at::IntArrayRef{3 * kLast, kVocab}));
    for (size_t b = 0; b < texts.size(); ++b)
      for (int64_t i = 0; i < kLast; ++i) {
        const int64_t n = int64_t(b) * kLast + i;
        const auto length = int64_t(texts[b].size()) - kLast + i + 1;
        if (length < 1) {
          EXPECT_EQ(all.layer_N[n].item<int64_t>(), -1);
          EXPECT_EQ(all.scores_NV[n].abs().sum().item<double>(), 0);
          continue;
        }
        const std::vector<int64_t> shorter(texts[b].begin(), texts[b].begin() + length);
        const NextToken one = model->next_token(rows_of({shorter}), asked(exit));
        EXPECT_EQ(all.layer_N[n].item<int64_t>(), one.layer_N.item<int64_t>());
        EXPECT_LE(max_difference(all.scores_NV[n], one.scores_NV[0]), 1e-12);
      }
  }
}

// As a draft is verified: a few rows at once, behind what is there already.
TEST(NextTokens, OfRowsBehindACache) {
  const at::NoGradGuard no_grad;
  const auto model = corridor_model({}, kQuiet);
  const std::vector<int64_t> text = {1, 4, 2, 6, 3};
  WalkCache cache(1, kLength);
  Asked ask = asked(Exit::kFirstConfident);
  ask.cache = &cache;
  model->next_token(rows_of({{1, 4}}), ask);
  ask.last = 3;
  const NextToken behind = model->next_token(rows_of({{2, 6, 3}}, {2}), ask);
  const NextToken whole = model->next_token(rows_of({text}), asked(Exit::kFirstConfident, 3));
  EXPECT_LE(max_difference(behind.scores_NV, whole.scores_NV), 1e-12);
  EXPECT_TRUE(same_bits(behind.layer_N, whole.layer_N));
  EXPECT_LT(behind.flops, whole.flops);
}

// A row that waits for a loop's end where the others read out for the last time answers with what
// it said before it left.
TEST(NextTokens, OfARowThatHasLeftALoopWithTheLastReadout) {
  const at::NoGradGuard no_grad;
  const LoopGroup loop = loop_of({{with_readout(block(1, kWidth), 1)}});
  const DepthPlan plan = plan_of({{with_readout(block(0, kWidth), 0)}, {loop}});
  Policy policy = loops({3});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.config.threshold = 2;
  policy.loops[0].halting.config.rule = HaltRule::kLatentChange;
  policy.loops[0].halting.config.threshold = 10;  // everybody leaves after the second iteration
  for (const KeyFate fate : {KeyFate::kHidden, KeyFate::kSeen, KeyFate::kFrozen}) {
    policy.loops[0].halting.keys = fate;
    const auto model = model_of_plan(plan, policy, {});
    const std::vector<std::vector<int64_t>> texts = {{1, 4, 2, 6, 3}, {5, 5}};
    Policy two = loops({2});
    const auto shorter = model_of_plan(plan, two, {});
    const NextToken expected = shorter->next_token(rows_of(texts), asked(Exit::kLast));
    for (const Exit exit : {Exit::kFirstConfident, Exit::kLast})
      for (const bool cached : {false, true}) {
        WalkCache cache(2, kLength);
        Asked ask = asked(exit);
        if (cached) ask.cache = &cache;
        const NextToken next = model->next_token(rows_of(texts), ask);
        EXPECT_TRUE(next.layer_N.eq(1).all().item<bool>());
        EXPECT_LE(max_difference(next.scores_NV, expected.scores_NV), 1e-12);
      }
  }
}

TEST(NextTokens, OfNoRowsAreRefused) {
  const auto model = corridor_model({});
  EXPECT_THROW(model->next_token(rows_of({{1, 2}}), asked(Exit::kLast, 0)), Error);
}

// Thresholds and counts are the pass's: the model stays as it is.
TEST(NextTokens, ByAnotherPolicy) {
  const at::NoGradGuard no_grad;
  const auto model = corridor_model({}, kQuiet);
  const std::vector<std::vector<int64_t>> texts = {{1, 4, 2, 6, 3}, {5, 5, 0, 1, 2}};
  Policy never = corridor_policy(kQuiet), once = never;
  never.halting.config.thresholds = {2, 2, 2};
  once.loops[0].count = 1;
  Asked ask = asked(Exit::kFirstConfident, kLength);
  const NextToken own = model->next_token(rows_of(texts), ask);
  ask.policy = &never;
  const NextToken all = model->next_token(rows_of(texts), ask);
  EXPECT_TRUE(all.layer_N.eq(2).all().item<bool>());
  EXPECT_FALSE(own.layer_N.eq(2).all().item<bool>());
  EXPECT_EQ(all.computed, all.dense);
  EXPECT_LT(own.computed, own.dense);
  ask.policy = &once;
  const NextToken shallow = model->next_token(rows_of(texts), ask);
  EXPECT_EQ(shallow.dense, 2 * kLength * 4);
  const LoopSettings one = {1, 0, true, 0.0};
  const NextToken expected =
      corridor_model({}, one)->next_token(rows_of(texts), asked(Exit::kFirstConfident, kLength));
  EXPECT_TRUE(same_bits(shallow.scores_NV, expected.scores_NV));
  EXPECT_TRUE(
      same_bits(model->next_token(rows_of(texts), asked(Exit::kFirstConfident, kLength)).scores_NV,
                own.scores_NV));
}

// A loss by another policy is that of a model that was made with it.
TEST(Forward, ByAnotherPolicy) {
  const SupervisionTable table = {term_of({0.5, 1, 2})};
  const auto model = corridor_model(table);
  const auto loss = [](const DepthModel& m, const Policy* policy) {
    Pass pass = corridor_pass();
    pass.policy = policy;
    return m.forward(corridor_batch(), pass).losses.at(0).sum.item<double>();
  };
  const LoopSettings five = {5, 0, true, kNoise};
  const Policy policy = corridor_policy(five);
  EXPECT_EQ(loss(*model, &policy), loss(*corridor_model(table, five), nullptr));
  EXPECT_NE(loss(*model, &policy), loss(*model, nullptr));
}

// Noise at a door is the text's own, whatever stands beside it.
TEST(NextTokens, DrawByTheNumberOfTheText) {
  const at::NoGradGuard no_grad;
  const auto model = corridor_model({});
  const std::vector<std::vector<int64_t>> texts = {{1, 4, 2}, {5, 3, 0}, {2, 2, 6}};
  Asked ask = asked(Exit::kLast);
  ask.random = RandomField(7, 0, 40);
  const NextToken all = model->next_token(rows_of(texts), ask);
  for (int64_t b = 0; b < 3; ++b) {
    ask.random = RandomField(7, 0, 40 + b);
    const NextToken one = model->next_token(rows_of({texts[size_t(b)]}), ask);
    EXPECT_LE(max_difference(all.scores_NV[b], one.scores_NV[0]), 1e-12);
  }
  ask.random = RandomField(7, 0, 41);
  EXPECT_GT(
      max_difference(model->next_token(rows_of({texts[0]}), ask).scores_NV[0], all.scores_NV[0]),
      1e-3);
}

}  // namespace
}  // namespace fathom::testing
