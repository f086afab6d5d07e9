// Rows that leave a loop by themselves: each rule against numbers worked out by hand, in walks that
// have all rows, that leave out who has left, and that see earlier rows through a cache.
#include "model/loop_exit.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "errors.h"
#include "fathom/model/loop_metrics.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "fathom/model/walk/loop_rule.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// x_k = (1 - 2^-k) x0 where the body halves what the loop adds to it.
TEST(LoopExit, OfAToyIsKnownBeforehand) {
  const at::NoGradGuard no_grad;
  const DepthPlan plan = exit_plan(ExitBody::kHalf, -1);
  const auto model = exit_model(plan, loops({kExitLoops}));
  Tensor table = model->walk().params().token_table.at(0);
  for (int64_t v = 0; v < kVocab; ++v) table[v].mul_(std::pow(2.0, double(v)));
  const Batch batch = corridor_batch();
  const Tensor length_R = FreeWalk(*model, batch).x(0).norm(2, {1});
  constexpr int64_t kMany = 12;
  const auto expect = [&](HaltRule rule, double threshold, const auto& score) {
    std::set<int64_t> kinds;
    const Trace trace =
        model->walk().run(unroll(plan, exit_policy(rule, threshold, kMany)), batch, {});
    const std::vector<int64_t> exits = exits_of(trace, kMany);
    for (int64_t i = 0; i < kExitRows; ++i) {
      int64_t k = 1;  // never after the first iteration
      while (k < kMany - 1 && !(score(k, length_R[i].item<double>()) < threshold)) ++k;
      EXPECT_EQ(exits[size_t(i)], k + 1);
      kinds.insert(k);
    }
    return kinds.size();
  };
  const auto falls = [](int64_t k, double length) {
    return std::pow(2.0, -double(k + 1)) * length;
  };
  EXPECT_GT(expect(HaltRule::kStepNormDiff, 0.3, falls), 2U);
  EXPECT_GT(expect(HaltRule::kAcceleration, 0.3, falls), 2U);
  expect(HaltRule::kLatentChange, 0.03,
         [&](int64_t k, double) { return falls(k, 1) / (1 - falls(k, 1)); });
  EXPECT_EQ(expect(HaltRule::kStateChange, length_R.median().item<double>() * 0.9,
                   [&](int64_t k, double length) { return (1 - falls(k, 1)) * length; }),
            2U);
  for (const HaltRule rule : {HaltRule::kStepNormDiff, HaltRule::kAcceleration,
                              HaltRule::kLatentChange, HaltRule::kStateChange}) {
    EXPECT_EQ(expect(rule, 1e9, [](int64_t, double) { return 0.0; }), 1U);
    EXPECT_EQ(expect(rule, 0, [](int64_t, double) { return 0.0; }), 1U);
  }
}

// Rows that know nothing of one another are as the walk in which nobody leaves has them.
TEST(LoopExit, ByEveryRuleIsWhereItsScoreSaysSo) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  for (const int adapter : {0, -1}) {
    const DepthPlan plan = exit_plan(ExitBody::kRowsAlone, adapter);
    const auto model = exit_model(plan, loops({kExitLoops}));
    const FreeWalk free(*model, batch);
    EXPECT_GT(max_difference(free.score(HaltRule::kKlMinP, 1), free.score(HaltRule::kKl, 1)), 1e-6)
        << "some tokens are unlikely";
    for (const HaltRule rule : kExitRules) {
      SCOPED_TRACE(fmt::format("rule {}, adapter {}", int(rule), adapter));
      const double threshold = free.threshold(rule);
      const std::vector<int64_t> expected = free.exits(rule, threshold);
      const std::set<int64_t> kinds(expected.begin(), expected.end());
      EXPECT_GT(kinds.size(), rule == HaltRule::kArgmax ? 0U : 1U);
      const DepthProgram program = unroll(plan, exit_policy(rule, threshold));
      for (const bool skip : {false, true}) {
        WalkOptions options;
        options.skip = skip;
        const KeptTrace trace = run_kept(model->walk(), program, batch, options);
        EXPECT_EQ(exits_of(trace), expected);
        EXPECT_LE(max_difference(trace.door(kExitLoops).r_RC, free.left(expected)), 1e-12);
        // Nobody sees the others' keys, so nobody is computed who has left.
        for (int64_t k = 1; skip && k < kExitLoops; ++k)
          EXPECT_EQ(trace.steps[size_t(k)].computed,
                    std::count_if(expected.begin(), expected.end(),
                                  [&](int64_t exit) { return exit > k; }));
      }
      EXPECT_EQ(exits_of(model->walk().run(unroll(plan, exit_policy(rule, 1e9)), batch, {})),
                std::vector<int64_t>(size_t(kExitRows), is_change(rule) ? 2 : kExitLoops));
      if (!is_change(rule)) continue;
      EXPECT_EQ(exits_of(model->walk().run(unroll(plan, exit_policy(rule, 0)), batch, {})),
                std::vector<int64_t>(size_t(kExitRows), kExitLoops));
    }
  }
}

Batch sequence_of(const Batch& batch, int64_t b) {
  return map_columns(batch, [&](const Tensor& x) { return x.narrow(0, b, 1); });
}

// With attention, and sequences that enter the loop late: who has left keeps its keys as they are.
TEST(LoopExit, IsTheSameInABatchAloneSkippingAndCached) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  const DepthPlan plan = exit_plan(ExitBody::kBlock);
  const auto model = exit_model(plan, loops({kExitLoops}));
  const FreeWalk free(*model, batch);
  for (const HaltRule rule : kExitRules)
    for (const bool late : {false, true}) {
      SCOPED_TRACE(fmt::format("rule {}{}", int(rule), late ? ", late" : ""));
      Policy policy = exit_policy(rule, free.threshold(rule));
      if (late) policy.loops[0].counts = {kExitLoops, 4};
      const DepthProgram program = unroll(plan, policy);
      const Trace dense = model->walk().run(program, batch, {});
      const std::vector<int64_t> exits = exits_of(dense);
      const std::set<int64_t> kinds(exits.begin(), exits.end());
      EXPECT_GT(kinds.size(), rule == HaltRule::kArgmax ? 0U : 1U);
      WalkOptions skip;
      skip.skip = true;
      const Trace less = model->walk().run(program, batch, skip);
      EXPECT_EQ(exits_of(less), exits);
      EXPECT_LE(max_difference(less.end.r_RC, dense.end.r_RC), 1e-12);
      for (int64_t b = 0; b < kSequences; ++b) {
        Policy of_one = policy;
        if (late) of_one.loops[0].counts = {policy.loops[0].counts[size_t(b)]};
        const Trace one = model->walk().run(unroll(plan, of_one), sequence_of(batch, b), skip);
        EXPECT_EQ(exits_of(one), std::vector<int64_t>(exits.begin() + b * kLength,
                                                      exits.begin() + (b + 1) * kLength));
        EXPECT_LE(max_difference(one.end.r_RC, dense.end.r_RC.narrow(0, b * kLength, kLength)),
                  1e-12);
      }
      for (const bool skips : {false, true}) {
        WalkCache cache(kSequences, kLength);
        WalkOptions cached;
        cached.cache = &cache;
        cached.skip = skips;
        for (int64_t t = 0; t < kLength; ++t) {
          std::vector<std::vector<int64_t>> tokens;
          for (int64_t b = 0; b < kSequences; ++b)
            tokens.push_back({batch.tokens_BT[b][t].item<int64_t>()});
          const Trace at_t = model->walk().run(
              program, std::make_shared<const Rows>(tokens, std::vector<int64_t>{t, t}, at::kCPU),
              {}, cached);
          EXPECT_THAT(exits_of(at_t), ElementsAre(exits[size_t(t)], exits[size_t(kLength + t)]));
          for (int64_t b = 0; b < kSequences; ++b)
            EXPECT_LE(max_difference(at_t.end.r_RC[b], dense.end.r_RC[b * kLength + t]), 1e-12);
        }
      }
    }
}

// A loop in a loop begins anew each time, and a row that has left the outer one is in neither.
TEST(LoopExit, OfALoopInALoop) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  const LoopGroup inner = loop_of({{block(2, kWidth)}});
  const DepthPlan plan = plan_of(
      {{loop_of({{block(1, kWidth)}, {inner}}, 0)}, {with_readout(block(3, kWidth), 1)}}, kWidth);
  for (const HaltRule rule : {HaltRule::kLatentChange, HaltRule::kStepNormDiff,
                              HaltRule::kAcceleration, HaltRule::kEntropy}) {
    SCOPED_TRACE(int(rule));
    Policy policy = loops({4, 3});
    for (LoopPolicy& loop : policy.loops) {
      loop.halting = exit_policy(rule, rule == HaltRule::kEntropy ? 0.1 : 0.5).loops[0].halting;
      loop.counts = {loop.count, loop.count - 1};
    }
    const auto model = exit_model(plan, policy);
    WalkOptions options;
    const Trace dense = model->walk().run(model->program(), batch, options);
    options.skip = true;
    const Trace less = model->walk().run(model->program(), batch, options);
    EXPECT_LE(max_difference(less.end.r_RC, dense.end.r_RC), 1e-11);
    const std::vector<std::string> keys = loop_group_keys(plan);
    const auto one = loop_metrics(model->program(), dense, batch, keys);
    const auto two = loop_metrics(model->program(), less, batch, keys);
    ASSERT_EQ(one.size(), two.size());
    for (const auto& [name, metric] : one) {
      EXPECT_EQ(metric.sum, two.at(name).sum) << name;
      EXPECT_EQ(metric.count, two.at(name).count) << name;
    }
    // A row goes through the inner loop in each iteration of the outer one.
    EXPECT_EQ(one.at("loop_iterations/" + keys[1]).count, one.at("loop_iterations/" + keys[0]).sum);
    EXPECT_GT(one.at("loop_saved/" + keys[0]).sum + one.at("loop_saved/" + keys[1]).sum, 0);
  }
}

// A token that changes moves nothing before it, whoever leaves when.
TEST(LoopExit, ByTokensIsCausal) {
  const at::NoGradGuard no_grad;
  const DepthPlan plan = exit_plan(ExitBody::kBlock);
  const auto model = exit_model(plan, loops({kExitLoops}));
  Batch batch = corridor_batch();
  const FreeWalk free(*model, batch);
  Batch other = batch;
  other.tokens_BT = batch.tokens_BT.clone();
  constexpr int64_t kChanged = 3;
  for (int64_t b = 0; b < kSequences; ++b) other.tokens_BT[b][kChanged].add_(1).remainder_(kVocab);
  for (const HaltRule rule : kExitRules) {
    const DepthProgram program = unroll(plan, exit_policy(rule, free.threshold(rule)));
    const Tensor one = model->walk().run(program, batch, {}).end.r_RC.view({2, kLength, kWidth});
    const Tensor two = model->walk().run(program, other, {}).end.r_RC.view({2, kLength, kWidth});
    EXPECT_LE(max_difference(one.narrow(1, 0, kChanged), two.narrow(1, 0, kChanged)), 1e-12);
    EXPECT_GT(max_difference(one.select(1, kChanged), two.select(1, kChanged)), 1e-3);
  }
}

// A sequence leaves by the mean of its tokens that are there; of a difference, by that of means.
TEST(LoopExit, BySequencesIsByTheirMeans) {
  const at::NoGradGuard no_grad;
  Batch batch = corridor_batch();
  batch.valid_BT = at::full({kSequences, kLength}, true, at::TensorOptions(at::kBool));
  batch.valid_BT[0][kLength - 1] = false;
  const DepthPlan plan = exit_plan(ExitBody::kRowsAlone, -1);
  const auto model = exit_model(plan, loops({kExitLoops}));
  const FreeWalk free(*model, batch);
  const Tensor there = batch.valid_BT.to(at::kDouble);
  const auto mean = [&](HaltRule rule, int64_t k) {
    return (free.score(rule, k).view({kSequences, kLength}) * there).sum(1) / there.sum(1);
  };
  const auto mean_length = [&](int64_t k) {
    const Tensor d_R = (free.x(k + 1) - free.u(k)).norm(2, {1});
    return (d_R.view({kSequences, kLength}) * there).sum(1) / there.sum(1);
  };
  for (const HaltRule rule : {HaltRule::kLatentChange, HaltRule::kMax, HaltRule::kStepNormDiff}) {
    SCOPED_TRACE(int(rule));
    const auto score = [&](int64_t k) {
      if (rule != HaltRule::kStepNormDiff) return mean(rule, k);
      return (mean_length(k) - mean_length(k - 1)).abs();
    };
    const double threshold = score(2).mean().item<double>();  // between the two
    Policy policy = exit_policy(rule, threshold);
    policy.loops[0].halting.unit = HaltUnit::kSequence;
    WalkOptions skip;
    skip.skip = true;
    for (const WalkOptions& options : {WalkOptions(), skip}) {
      const std::vector<int64_t> exits =
          exits_of(model->walk().run(unroll(plan, policy), batch, options));
      for (int64_t b = 0; b < kSequences; ++b) {
        int64_t k = is_change(rule) ? 1 : 0;
        const auto leaves = [&] {
          const double s = score(k)[b].item<double>();
          return is_change(rule) ? s < threshold : s >= threshold;
        };
        while (k < kExitLoops - 1 && !leaves()) ++k;
        for (int64_t t = 0; t < kLength; ++t) {
          const bool valid = batch.valid_BT[b][t].item<bool>();
          EXPECT_EQ(exits[size_t(b * kLength + t)], valid ? k + 1 : kExitLoops);
        }
      }
    }
    const auto halted = exit_model(plan, policy);
    const Error error = caught([&] { halted->next_token(batch.tokens_BT, Exit::kLast); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("loop_halt_unit = sequence"));
    WalkCache cache(kSequences, kLength);
    skip.cache = &cache;
    EXPECT_THROW(model->walk().run(unroll(plan, policy), batch, skip), Error);
  }
}

// As long as the likeliest token stays, counted from anew where another one comes.
TEST(LoopRule, CountsHowLongATokenHasStayed) {
  const Policy policy = exit_policy(HaltRule::kArgmax, 2);
  Batch batch;
  batch.tokens_BT = random_tokens({1, 2}, kVocab, 1);
  const Rows rows(batch);
  LoopMemory memory;
  std::vector<std::vector<double>> ages;
  std::vector<bool> halts;
  for (const auto& [first, second] : {std::pair{4, 1}, {4, 2}, {5, 1}, {5, 1}, {5, 0}, {5, 0}}) {
    IterationEnd end{policy.loops[0].halting, rows, at::ones({2, 3})};
    end.reading.prediction_R = index_tensor({first, second}, at::kCPU);
    end.reading.ln_max_confidence_R = at::ones({2});
    const LoopDecision decision = decide(end, memory);
    ages.push_back(numbers(decision.score_R));
    halts.push_back(decision.halts_R[0].item<bool>());
    EXPECT_FALSE(decision.halts_R[1].item<bool>());
    EXPECT_EQ(decision.read, 0);
  }
  EXPECT_THAT(ages, ElementsAre(ElementsAre(0, 0), ElementsAre(1, 0), ElementsAre(0, 0),
                                ElementsAre(1, 1), ElementsAre(2, 0), ElementsAre(3, 1)));
  EXPECT_THAT(halts, ElementsAre(false, false, false, false, true, true));
}

}  // namespace
}  // namespace fathom::testing
