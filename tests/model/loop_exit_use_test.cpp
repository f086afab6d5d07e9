// What automatic loop exit saves and says in evaluation and generation, and what training does for
// it: rows that stop at random, and the gate that learns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fathom/model/gate_loss.h"
#include "fathom/model/spec/loop_metric_names.h"
#include "model/loop_exit.h"

namespace fathom::testing {
namespace {

// Evaluation leaves out who has left, says how often rows went round, and reads the same.
TEST(LoopExit, IsSavedAndToldInEvaluation) {
  const Batch batch = corridor_batch();
  for (const bool in_loop : {false, true}) {  // who answers
    const DepthPlan plan = exit_plan(ExitBody::kBlock, 0, in_loop);
    const auto free = exit_model(plan, loops({kExitLoops}));
    const double threshold = FreeWalk(*free, batch).threshold(HaltRule::kAcceleration);
    const auto model = exit_model(plan, exit_policy(HaltRule::kAcceleration, threshold));
    const std::vector<int64_t> exits =
        exits_of(model->walk().run(model->program(), batch, corridor_options()));
    const ModelOutput dense = model->forward(batch, corridor_pass());
    ModelOutput saved, all;
    {
      const at::NoGradGuard no_grad;
      saved = model->forward(batch, corridor_pass());
      all = free->forward(batch, corridor_pass());
    }
    EXPECT_LT(saved.flops, all.flops);
    EXPECT_NEAR(saved.loss.sum.item<double>(), dense.loss.sum.item<double>(), 1e-10);
    ASSERT_EQ(saved.metrics.size(), dense.metrics.size());
    for (const auto& [name, metric] : dense.metrics) {
      EXPECT_NEAR(saved.metrics.at(name).sum, metric.sum, 1e-10) << name;
      EXPECT_EQ(saved.metrics.at(name).count, metric.count) << name;
    }
    const std::string group = loop_group_keys(plan).at(0);
    double sum = 0, targets = 0;
    std::vector<double> exits_at(kExitLoops + 1);
    for (int64_t i = 0; i < kExitRows; ++i) {
      if (batch.targets_BT.view(-1)[i].item<int64_t>() < 0) continue;
      sum += double(exits[size_t(i)]), ++targets, ++exits_at[size_t(exits[size_t(i)])];
    }
    EXPECT_EQ(saved.metrics.at("loop_iterations/" + group).sum, sum);
    EXPECT_EQ(saved.metrics.at("loop_iterations/" + group).count, targets);
    EXPECT_EQ(saved.metrics.at("loop_saved/" + group).sum, kExitLoops * targets - sum);
    EXPECT_EQ(saved.metrics.at("loop_saved/" + group).count, kExitLoops * targets);
    for (int64_t k = 1; k <= kExitLoops; ++k)
      EXPECT_EQ(saved.metrics.at(fmt::format("loop_exits/{}.{}", group, k)).sum,
                exits_at[size_t(k)]);
    EXPECT_EQ(all.metrics.count("loop_iterations/" + group), 0U);
    // The rule rests in training.
    Pass training = corridor_pass();
    training.training = true;
    EXPECT_EQ(model->forward(batch, training).loss.sum.item<double>(),
              free->forward(batch, training).loss.sum.item<double>());
  }
}

// Scores of a next token cost less where rows leave, and are the same.
TEST(LoopExit, IsSavedInGeneration) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  const DepthPlan plan = exit_plan(ExitBody::kBlock);
  const auto free = exit_model(plan, loops({kExitLoops}));
  const double threshold = FreeWalk(*free, batch).threshold(HaltRule::kKl);
  const auto model = exit_model(plan, exit_policy(HaltRule::kKl, threshold));
  const Tensor logits_BTV = model->logits(batch.tokens_BT);
  for (const Exit exit : {Exit::kLast, Exit::kFirstConfident}) {
    const NextToken next = model->next_token(batch.tokens_BT, exit);
    EXPECT_LT(next.computed, next.dense);
    EXPECT_LE(max_difference(next.scores_NV, logits_BTV.select(1, kLength - 1)), 1e-12);
  }
}

// With fewer places than iterations a cache is smaller, and a later token sees less of an earlier
// one.
TEST(LoopCache, HasSoManyPlacesAsThePassSays) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  const DepthPlan plan = exit_plan(ExitBody::kBlock);
  const auto scores = [&](int64_t cached_iterations, int64_t places) {
    Policy policy = loops({kExitLoops});
    policy.loops[0].cached_iterations = cached_iterations;
    const auto model = exit_model(plan, policy);
    WalkCache cache(1, kLength);
    Asked asked;
    asked.exit = Exit::kLast;
    asked.cache = &cache;
    NextToken next;
    for (int64_t t = 0; t < kLength; ++t)
      next =
          model->next_token(Rows({{batch.tokens_BT[0][t].item<int64_t>()}}, {t}, at::kCPU), asked);
    EXPECT_EQ(cache.keys.slots(), places + 1);
    return next.scores_NV;
  };
  const Tensor all = scores(0, kExitLoops), dense = exit_model(plan, loops({kExitLoops}))
                                                        ->logits(batch.tokens_BT.narrow(0, 0, 1))
                                                        .select(1, kLength - 1);
  EXPECT_LE(max_difference(all, dense), 1e-12);
  EXPECT_LE(max_difference(scores(kExitLoops, kExitLoops), dense), 1e-12);
  EXPECT_GT(max_difference(scores(1, 1), dense), 1e-6);
  EXPECT_GT(max_difference(scores(1, 1), scores(4, 4)), 1e-6);
}

// Whoever has left a loop makes its keys once for all later iterations, where these are the same to
// it. Pieces of a text see through the cache what they see of rows that go round with the others.
TEST(LoopExit, PutsKeysOnceWhereIterationsAreAlike) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  for (const bool alike : {true, false}) {
    DepthPlan plan = exit_plan(ExitBody::kBlock);
    if (!alike) {
      Injection signal{Injection::kLoopSignal, 0};
      signal.rows = kExitLoops;
      std::get<LoopGroup>(plan.nodes[0].node).input = {signal};
    }
    const auto model = exit_model(plan, loops({kExitLoops}));
    const double threshold = FreeWalk(*model, batch).threshold(HaltRule::kAcceleration);
    for (const int64_t places : {0, 1, 2})
      for (const int64_t piece : {int64_t{1}, int64_t{2}, kLength}) {
        SCOPED_TRACE(fmt::format("alike {}, places {}, pieces of {}", alike, places, piece));
        Policy policy = exit_policy(HaltRule::kAcceleration, threshold);
        policy.loops[0].cached_iterations = places;
        const DepthProgram program = unroll(plan, policy);
        WalkCache kept_by_all(kSequences, kLength), kept(kSequences, kLength);
        std::set<int64_t> kinds;
        for (int64_t t = 0; t < kLength; t += piece) {
          const int64_t n = std::min(piece, kLength - t);
          std::vector<std::vector<int64_t>> tokens(static_cast<size_t>(kSequences));
          for (int64_t b = 0; b < kSequences; ++b)
            for (int64_t i = t; i < t + n; ++i)
              tokens[size_t(b)].push_back(batch.tokens_BT[b][i].item<int64_t>());
          const auto rows = std::make_shared<const Rows>(
              tokens, std::vector<int64_t>(static_cast<size_t>(kSequences), t), at::kCPU);
          WalkOptions options;
          options.cache = &kept_by_all;
          const Trace dense = model->walk().run(program, rows, {}, options);
          options.cache = &kept;
          options.skip = true;
          const Trace less = model->walk().run(program, rows, {}, options);
          const std::vector<int64_t> exits = exits_of(dense);
          kinds.insert(exits.begin(), exits.end());
          EXPECT_EQ(exits_of(less), exits);
          EXPECT_LE(max_difference(less.end.r_RC, dense.end.r_RC), 1e-12);
          int64_t keys_only = 0, expected = 0;
          for (const StepRecord& step : less.steps) keys_only += step.keys_only;
          for (const int64_t exit : exits)
            expected += alike ? std::min<int64_t>(kExitLoops - exit, 1) : kExitLoops - exit;
          EXPECT_EQ(keys_only, expected);
        }
        EXPECT_GT(kinds.size(), 1U);
      }
  }
}

// What a rule reads out is paid for, at every end but the last: two states a row for kl, which has
// nothing to compare with at the first one, and kl_diff.
TEST(LoopExit, CostsWhatItsRuleReads) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  for (const bool answers : {false, true}) {
    const DepthPlan plan = exit_plan(ExitBody::kRowsAlone, 0, answers);
    const auto cost = [&](HaltRule rule, double threshold) {
      return exit_model(plan, exit_policy(rule, threshold))->forward(batch, corridor_pass()).flops;
    };
    const double none =
        exit_model(plan, loops({kExitLoops}))->forward(batch, corridor_pass()).flops;
    const double reading = 2.0 * kWidth * kVocab * kExitRows * (kExitLoops - 1);
    EXPECT_DOUBLE_EQ(cost(HaltRule::kStepNormDiff, 0), none);
    EXPECT_DOUBLE_EQ(cost(HaltRule::kKl, 0),
                     none + 2 * reading * (kExitLoops - 2) / (kExitLoops - 1));
    EXPECT_DOUBLE_EQ(cost(HaltRule::kKlMinP, 0), cost(HaltRule::kKl, 0));
    EXPECT_DOUBLE_EQ(cost(HaltRule::kKlDiff, 0), none + 2 * reading);
    EXPECT_DOUBLE_EQ(cost(HaltRule::kEntropy, 0), none + reading);
    EXPECT_DOUBLE_EQ(cost(HaltRule::kMax, 2), none + (answers ? 0 : reading));
  }
}

// In training each row that is in the loop leaves with a probability, by its own numbers.
TEST(LoopExit, AtRandomIsOfTrainingAlone) {
  const at::NoGradGuard no_grad;
  const DepthPlan plan = exit_plan(ExitBody::kRowsAlone);
  Policy policy = loops({4});
  policy.loops[0].halting.keys = KeyFate::kFrozen;
  policy.loops[0].stop_probability = 0.25;
  const auto model = exit_model(plan, policy);
  Batch batch;
  batch.tokens_BT = random_tokens({200, kLength}, kVocab, 1);
  WalkOptions options;
  options.training = true;
  options.random = RandomField(3, 7, 10);
  const KeptTrace trace = run_kept(model->walk(), model->program(), batch, options);
  const std::vector<int64_t> exits = exits_of(trace, 4);
  for (const auto& [exit, share] : {std::pair{1, 0.25}, {2, 0.1875}, {3, 0.140625}})
    EXPECT_NEAR(double(std::count(exits.begin(), exits.end(), exit)) / 1000, share, 0.045);
  EXPECT_LE(max_difference(trace.door(4).r_RC, FreeWalk(*model, batch, 4).left(exits)), 1e-12);
  // Of the second hundred sequences by themselves.
  Batch second;
  second.tokens_BT = batch.tokens_BT.narrow(0, 100, 100).contiguous();
  options.random = RandomField(3, 7, 110);
  EXPECT_EQ(exits_of(model->walk().run(model->program(), second, options), 4),
            std::vector<int64_t>(exits.begin() + 500, exits.end()));
  options.random = RandomField(3, 8, 110);
  EXPECT_NE(exits_of(model->walk().run(model->program(), second, options), 4),
            std::vector<int64_t>(exits.begin() + 500, exits.end()));
  options.training = false;
  EXPECT_TRUE(model->walk().run(model->program(), batch, options).iterations.empty());
}

// The expected cross entropy of the answer that the gate chooses, less its entropy.
TEST(HaltingGate, LearnsFromWhatEachIterationWouldAnswer) {
  const Batch batch = corridor_batch();
  const DepthPlan plan = exit_plan(ExitBody::kBlock);
  Policy policy = loops({4});
  policy.loops[0].gate_entropy = 0.3;
  const auto model = exit_model(plan, policy);
  Pass pass = corridor_pass();
  pass.training = true;
  const auto gates = [&] {
    for (const LossPart& part : model->forward(batch, pass).losses)
      if (part.name == kGateLoss) return part;
    return LossPart{"", {}, 0};
  };
  const FreeWalk free(*model, batch, 4);
  double expected = 0, count = 0;
  for (int64_t i = 0; i < kExitRows; ++i) {
    const int64_t target = batch.targets_BT.view(-1)[i].item<int64_t>();
    if (target < 0) continue;
    const double weight = batch.weight_BT.view(-1)[i].item<double>();
    double stays = 1, loss = 0;
    for (int64_t k = 0; k < 4; ++k) {
      const double g = k == 3 ? 1 : free.score(HaltRule::kLearned, k)[i].item<double>();
      const double p = stays * g;
      loss += p * (0.3 * std::log(p) - std::log(free.p(free.x(k + 1))[i][target].item<double>()));
      stays *= 1 - g;
    }
    expected += weight * loss;
    count += weight;
  }
  const LossPart part = gates();
  EXPECT_NEAR(part.sum.item<double>(), expected, 1e-10);
  EXPECT_NEAR(part.count, count, 1e-12);
  EXPECT_NEAR(model->known_counts(batch, pass).at(kGateLoss), count, 1e-12);
  // The gate learns, and nothing else.
  backward(part.sum);
  std::vector<Tensor> gate;
  for (const Parameter& p : model->parameters().all()) {
    const bool is_gate = p.spec.name.rfind("halting_gate", 0) == 0;
    if (is_gate) gate.push_back(p.tensor);
    EXPECT_EQ(p.tensor.grad().defined(), is_gate) << p.spec.name;
  }
  ASSERT_EQ(gate.size(), 2U);
  expect_gradients([&] { return gates().sum; }, gate, 4);
  // It is no part of an evaluation.
  pass.training = false;
  EXPECT_EQ(gates().name, "");
  EXPECT_EQ(model->known_counts(batch, pass).count(kGateLoss), 0U);
}

}  // namespace
}  // namespace fathom::testing
