// By what rows of a walk halt, and what follows: scores worked out by hand from what the walk
// shows, every rule with every fate of keys in all kinds of walks, what is only logged.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "model/walk_halting.h"

namespace fathom::testing {
namespace {

// p of a row's scores at the temperature of the tests.
HaltNumbers halting_probabilities(const DepthModel& model, const KeptTrace& trace, size_t layer,
                                  int64_t row) {
  const LinearParams& head = model.walk().params().head.at(int(layer / 2));
  const HaltNumbers s =
      halting_row(linear(trace.h(trace.steps[layer]), head.weight, head.bias), row);
  HaltNumbers p;
  double sum = 0;
  for (const double x : s) sum += std::exp(x / 1.3);
  for (const double x : s) p.push_back(std::exp(x / 1.3) / sum);
  return p;
}

double halting_squares(const HaltNumbers& x, const HaltNumbers& y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

size_t halting_likeliest(const HaltNumbers& p) {
  return size_t(std::max_element(p.begin(), p.end()) - p.begin());
}

double halting_score_by_hand(HaltRule rule, const DepthModel& model, const KeptTrace& trace,
                             size_t layer, int64_t row) {
  const double none = std::numeric_limits<double>::infinity();
  const auto p_at = [&](size_t l) { return halting_probabilities(model, trace, l, row); };
  const auto state = [&](size_t l) {
    return halting_row(l + 1 < trace.steps.size() ? trace.door(l + 1).r_RC : trace.end.r_RC, row);
  };
  const auto normed = [&](size_t l) { return halting_row(trace.h(trace.steps[l]), row); };
  HaltNumbers p = p_at(layer);
  switch (rule) {
    case HaltRule::kMargin:
      std::sort(p.begin(), p.end(), std::greater<>());
      return p[0] - p[1];
    case HaltRule::kLowEntropy: {
      double H = 0;
      for (const double x : p) H -= x * std::log(x);
      return H;
    }
    case HaltRule::kKl: {
      if (layer == 0) return none;
      const HaltNumbers q = p_at(layer - 1);
      double kl = 0;
      for (size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
      return kl;
    }
    case HaltRule::kConverge:
      return layer == 0 ? none : halting_squares(normed(layer), normed(layer - 1)) / double(kWidth);
    case HaltRule::kLatentChange: {
      if (layer == 0) return none;
      const HaltNumbers x = state(layer);
      return std::sqrt(halting_squares(x, state(layer - 1)) /
                       halting_squares(x, HaltNumbers(x.size(), 0)));
    }
    case HaltRule::kArgmax: {
      double age = 0;
      for (size_t l = layer; l > 0 && halting_likeliest(p_at(l)) == halting_likeliest(p_at(l - 1));
           --l)
        ++age;
      return age;
    }
    case HaltRule::kFixed:
      return double(layer);
    default:
      return p[halting_likeliest(p)];
  }
}

bool halts_by_hand(HaltRule rule, double score, double threshold) {
  if (rule == HaltRule::kLowEntropy) return score <= threshold;
  return is_change(rule) ? score < threshold : score >= threshold;
}

// Between two scores that a walk has without halting: some rows meet it and some do not.
double middle_halting_threshold(HaltRule rule, const DepthModel& model, const Batch& batch) {
  if (rule == HaltRule::kArgmax || rule == HaltRule::kFixed) return 1;
  Policy policy = halting_policy(rule);
  policy.halting.config.use = HaltUse::kLog;
  HaltNumbers scores;
  const KeptTrace trace = halting_walk(model, policy, batch);
  for (const StepRecord& r : trace.steps)
    for (const double s : numbers(r.logged.score_R))
      if (std::isfinite(s)) scores.push_back(s);
  std::sort(scores.begin(), scores.end());
  const size_t n = scores.size() / 2;
  return (scores.at(n - 1) + scores.at(n)) / 2;
}

TEST(WalkHalting, ScoresAndDecisionsAreWhatTheStatesSay) {
  const auto model = halting_model();
  const Batch batch = corridor_batch();
  for (const HaltRule rule : kHaltRules) {
    SCOPED_TRACE(int(rule));
    const double threshold = middle_halting_threshold(rule, *model, batch);
    const KeptTrace trace = halting_walk(*model, halting_policy(rule, threshold), batch);
    int64_t halted = 0;
    for (size_t layer = 0; layer < trace.steps.size(); ++layer) {
      const HaltDecision& d = trace.steps[layer].decision;
      for (int64_t row = 0; row < kHaltRows; ++row) {
        const double expected = halting_score_by_hand(rule, *model, trace, layer, row);
        const auto score = d.score_R[row].item<double>();
        if (std::isfinite(expected)) {
          EXPECT_NEAR(score, expected, 1e-10);
        } else {
          EXPECT_EQ(score, expected);
        }
        const bool halts = d.halts_R[row].item<bool>();
        if (rule != HaltRule::kBernoulli) {
          EXPECT_EQ(halts, halts_by_hand(rule, expected, threshold));
        }
        halted += halts ? 1 : 0;
      }
    }
    EXPECT_GT(halted, 0);
    EXPECT_LT(halted, kHaltLayers * kHaltRows);
  }
}

// The first readout at which each row of the batch halts, `trace` being of positions [first, first
// + count) of every sequence.
void note_halting_answers(const Trace& trace, int64_t first, int64_t count,
                          std::vector<int64_t>& answers) {
  const std::vector<const StepRecord*> readouts = trace.readouts();
  for (const StepRecord* r : readouts)
    for (int64_t i = 0; i < r->rows->count(); ++i) {
      const bool done = r->done_R.defined() && r->done_R[i].item<bool>();
      if (done || !r->decision.halts_R[i].item<bool>()) continue;
      const auto source = r->rows->source()[i].item<int64_t>();
      int64_t& answer = answers.at(size_t(source / count * kLength + source % count + first));
      answer = std::min<int64_t>(answer, r->readout);
    }
}

std::vector<int64_t> halting_answers(const DepthModel& model, const Policy& policy,
                                     const Batch& batch, bool skip, bool cached) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> answers(size_t(kHaltRows), kHaltLayers);
  const DepthProgram program = unroll(model.walk().plan(), policy);
  WalkOptions options = corridor_options();
  options.skip = skip;
  WalkCache cache(kSequences, kLength);
  if (!cached) {
    note_halting_answers(model.walk().run(program, batch, options), 0, kLength, answers);
    return answers;
  }
  options.cache = &cache;
  for (int64_t t = 0; t < kLength; ++t) {
    Batch piece;
    piece.tokens_BT = batch.tokens_BT.narrow(1, t, 1).contiguous();
    piece.position_BT = at::full({kSequences, 1}, t, at::TensorOptions(at::kLong));
    note_halting_answers(model.walk().run(program, piece, options), t, 1, answers);
  }
  return answers;
}

// A mask and a skip are one rule, and a text that grows token by token is answered as a whole one:
// for what is remembered from layer to layer, and for what is drawn, too.
TEST(WalkHalting, EveryRuleAnswersAlikeInAllWalksWithEveryFate) {
  const auto model = halting_model();
  Batch batch = corridor_batch();
  batch.targets_BT = batch.weight_BT = Tensor();
  for (const HaltRule rule : kHaltRules) {
    const double threshold = middle_halting_threshold(rule, *model, batch);
    for (const KeyFate keys :
         {KeyFate::kHidden, KeyFate::kSeen, KeyFate::kFrozen, KeyFate::kFilledLater}) {
      SCOPED_TRACE(fmt::format("rule {}, keys {}", int(rule), int(keys)));
      const Policy policy = halting_policy(rule, threshold, keys);
      const auto dense = halting_answers(*model, policy, batch, false, false);
      EXPECT_LT(*std::min_element(dense.begin(), dense.end()), kHaltLayers) << "some row halts";
      EXPECT_EQ(halting_answers(*model, policy, batch, true, false), dense) << "skipping";
      EXPECT_EQ(halting_answers(*model, policy, batch, false, true), dense) << "cached";
      EXPECT_EQ(halting_answers(*model, policy, batch, true, true), dense) << "cached, skipping";
    }
  }
}

// Answers, losses and keys are those of a walk without a rule; who would have halted is told.
TEST(WalkHalting, WhatIsOnlyLoggedChangesNothing) {
  const auto model = halting_model();
  const Batch batch = corridor_batch();
  for (const HaltRule rule : kHaltRules) {
    SCOPED_TRACE(int(rule));
    const Policy none;
    Policy seen =
        halting_policy(rule, middle_halting_threshold(rule, *model, batch), KeyFate::kSeen);
    Policy logs = seen;
    logs.halting.config.use = HaltUse::kLog;
    const auto output = [&](const Policy& policy) {
      Pass pass = corridor_pass();
      pass.policy = &policy;
      return model->forward(batch, pass);
    };
    const ModelOutput plain = output(none), logged = output(logs), answered = output(seen);
    ASSERT_EQ(logged.losses.size(), plain.losses.size());
    EXPECT_TRUE(same_bits(logged.losses[0].sum, plain.losses[0].sum));
    EXPECT_EQ(halting_metric(logged, "accuracy"), halting_metric(plain, "accuracy"));
    EXPECT_EQ(logged.metrics.count("infer"), 0U);
    for (const char* name : {"earlystop", "exit_depth", "exit_fallback", "exit_rate/0"})
      EXPECT_EQ(halting_metric(logged, name), halting_metric(answered, name)) << name;
    EXPECT_GT(halting_metric(logged, "earlystop"), 0);
    const KeptTrace trace = halting_walk(*model, logs, batch);
    for (const StepRecord& r : trace.steps) {
      EXPECT_FALSE(r.decision.halts_R.defined());
      EXPECT_FALSE(r.done_R.defined());
      EXPECT_TRUE(r.logged.halts_R.defined());
    }
    Asked asked;
    asked.policy = &none;
    const Tensor scores_NV = model->next_token(Rows(batch), asked).scores_NV;
    asked.policy = &logs;
    EXPECT_TRUE(same_bits(model->next_token(Rows(batch), asked).scores_NV, scores_NV));
  }
}

// A cap leaves later layers something to answer.
TEST(WalkHalting, ACapBoundsTheProbability) {
  const auto model = halting_model();
  const Batch batch = corridor_batch();
  Policy policy = halting_policy(HaltRule::kBernoulli, {}, KeyFate::kSeen);
  const KeptTrace free = halting_walk(*model, policy, batch);
  policy.halting.config.cap = 0.3;
  const KeptTrace capped = halting_walk(*model, policy, batch);
  bool acts = false;
  for (size_t i = 0; i < free.steps.size(); ++i) {
    const HaltNumbers all = numbers(free.steps[i].decision.score_R),
                      bound = numbers(capped.steps[i].decision.score_R);
    for (size_t r = 0; r < all.size(); ++r) {
      EXPECT_EQ(bound[r], std::min(all[r], 0.3));
      acts = acts || all[r] > 0.3;
    }
  }
  EXPECT_TRUE(acts);
}

// A model that was trained without a rule is asked at every layer by the head that it has.
TEST(WalkHalting, APolicyAsksLayersThatTheirPlanDoesNot) {
  const auto plan = [](bool all) {
    std::vector<PlanNode> nodes;
    for (int i = 0; i < kHaltLayers; ++i) {
      LayerSpec layer = block(i, kWidth);
      layer.number = i;
      nodes.push_back({all || i + 1 == kHaltLayers ? with_readout(layer, i) : layer});
    }
    return plan_of(nodes, kWidth);
  };
  const SupervisionTable table = {term_of({0, 0, 0, 1})};
  const auto trained = model_of_plan(plan(false), {}, table);
  const auto halting = model_of_plan(plan(true), {}, table);
  {
    const at::NoGradGuard no_grad;  // the same weights, which its table has in another order
    for (const Parameter& p : halting->parameters().all())
      Tensor(p.tensor).copy_(trained->parameters().at(p.spec.name));
  }
  Policy policy = halting_policy(HaltRule::kMax, 0.4);
  policy.halting.asks_all = true;
  const Batch batch = corridor_batch();
  const KeptTrace one = halting_walk(*trained, policy, batch),
                  two = halting_walk(*halting, policy, batch);
  ASSERT_EQ(one.steps.size(), two.steps.size());
  for (size_t i = 0; i < one.steps.size(); ++i) {
    EXPECT_EQ(one.steps[i].layer, int(i));
    EXPECT_TRUE(same_bits(one.steps[i].decision.score_R, two.steps[i].decision.score_R));
  }
  policy.halting.asks_all = false;
  EXPECT_EQ(unroll(trained->walk().plan(), policy).readouts, 1);
}

}  // namespace
}  // namespace fathom::testing
