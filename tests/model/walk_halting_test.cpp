// By what rows of a walk halt, and what follows: scores worked out by hand from what the walk
// shows, every rule with every fate of keys in all kinds of walks, draws counted, expectations.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

constexpr int64_t kHaltLayers = 4, kHaltRows = kSequences * kLength;
constexpr HaltRule kHaltRules[] = {
    HaltRule::kMax,      HaltRule::kMargin,    HaltRule::kLowEntropy,
    HaltRule::kConverge, HaltRule::kKl,        HaltRule::kLatentChange,
    HaltRule::kArgmax,   HaltRule::kBernoulli, HaltRule::kFixed};

// Four layers that answer, two by each of two heads.
DepthPlan halting_plan() {
  std::vector<PlanNode> nodes;
  for (int i = 0; i < kHaltLayers; ++i) nodes.push_back({with_readout(block(i, kWidth), i, i / 2)});
  return plan_of(nodes, kWidth);
}

std::unique_ptr<DepthModel> halting_model(const Policy& policy = {}) {
  return model_of_plan(halting_plan(), policy, {term_of({0, 0, 0, 1})});
}

Policy halting_policy(HaltRule rule, std::optional<double> threshold = {},
                      KeyFate keys = KeyFate::kHidden) {
  Policy policy;
  policy.halting.config.rule = rule;
  policy.halting.config.threshold = threshold;
  policy.halting.config.temperature = 1.3;
  policy.halting.keys = keys;
  return policy;
}

KeptTrace halting_walk(const DepthModel& model, const Policy& policy, const Batch& batch) {
  const at::NoGradGuard no_grad;
  return run_kept(model.walk(), unroll(model.walk().plan(), policy), batch, corridor_options());
}

using HaltNumbers = std::vector<double>;

HaltNumbers halting_row(const Tensor& x_RC, int64_t row) {
  return numbers(x_RC[row]);
}

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
        if (std::isfinite(expected))
          EXPECT_NEAR(score, expected, 1e-10);
        else
          EXPECT_EQ(score, expected);
        const bool halts = d.halts_R[row].item<bool>();
        if (rule != HaltRule::kBernoulli)
          EXPECT_EQ(halts, halts_by_hand(rule, expected, threshold));
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

// One text so many times: each time other draws.
constexpr int64_t kHaltSamples = 4096, kHaltSampleLength = 2;
Batch halting_texts() {
  Batch batch;
  batch.tokens_BT = random_tokens({1, kHaltSampleLength}, kVocab, 3)
                        .expand({kHaltSamples, kHaltSampleLength})
                        .contiguous();
  batch.targets_BT = random_tokens({1, kHaltSampleLength}, kVocab, 4)
                         .expand({kHaltSamples, kHaltSampleLength})
                         .contiguous();
  return batch;
}

// p_i, of the first text's rows, and pi_i = p_i prod_{j < i} (1 - p_j), the last one's forced.
std::vector<HaltNumbers> halting_shares_by_hand(const KeptTrace& trace) {
  std::vector<HaltNumbers> shares(kHaltSampleLength);
  for (int64_t t = 0; t < kHaltSampleLength; ++t) {
    double left = 1;
    for (size_t i = 0; i < trace.steps.size(); ++i) {
      const bool last = i + 1 == trace.steps.size();
      const double p = last ? 1 : trace.steps[i].decision.score_R[t].item<double>();
      shares[size_t(t)].push_back(left * p);
      left *= 1 - p;
    }
  }
  return shares;
}

TEST(WalkHalting, DrawsComeAsOftenAsTheirProbabilities) {
  const auto model = halting_model();
  const Batch batch = halting_texts();
  const Policy policy = halting_policy(HaltRule::kBernoulli, {}, KeyFate::kSeen);
  const KeptTrace trace = halting_walk(*model, policy, batch);
  const std::vector<HaltNumbers> shares = halting_shares_by_hand(trace);
  const std::vector<Tensor> expected_R = expected_shares(trace.readouts());
  std::vector<Tensor> halts_R, away_R(kHaltLayers);
  for (const StepRecord& r : trace.steps) halts_R.push_back(r.decision.halts_R);
  const Tensor answer_ST =
      answering_readout(halts_R, away_R).view({kHaltSamples, kHaltSampleLength});
  for (int64_t t = 0; t < kHaltSampleLength; ++t) {
    double sum = 0;
    for (int64_t i = 0; i < kHaltLayers; ++i) {
      const double share = shares[size_t(t)][size_t(i)];
      EXPECT_NEAR(expected_R[size_t(i)][t].item<double>(), share, 1e-12);
      sum += expected_R[size_t(i)][t].item<double>();
      const auto times = answer_ST.select(1, t).eq(i).sum().item<double>();
      EXPECT_NEAR(times / kHaltSamples, share, 3 * std::sqrt(share * (1 - share) / kHaltSamples));
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

double halting_metric(const ModelOutput& output, const std::string& name) {
  return output.metrics.at(name).sum / output.metrics.at(name).count;
}

TEST(WalkHalting, AnExpectationIsTheMeanOfManySamples) {
  const at::NoGradGuard no_grad;
  const auto model = halting_model();
  const Batch batch = halting_texts();
  Policy policy = halting_policy(HaltRule::kBernoulli, {}, KeyFate::kSeen);
  const KeptTrace trace = halting_walk(*model, policy, batch);
  const std::vector<HaltNumbers> shares = halting_shares_by_hand(trace);
  Pass pass = corridor_pass();
  pass.policy = &policy;
  const ModelOutput sampled = model->forward(batch, pass);
  policy.halting.config.in_eval = HaltInEval::kExpect;
  const ModelOutput expected = model->forward(batch, pass);
  double infer = 0, depth = 0, variance = 0, early = 0;
  for (size_t t = 0; t < size_t(kHaltSampleLength); ++t) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < size_t(kHaltLayers); ++i) {
      const double loss = -trace.steps[i].reading.ln_p_R[int64_t(t)].item<double>();
      mean += shares[t][i] * loss;
      square += shares[t][i] * loss * loss;
      depth += shares[t][i] * double(i + 1) / kHaltSampleLength;
    }
    infer += mean / kHaltSampleLength;
    early += (1 - shares[t].back()) / kHaltSampleLength;
    variance += (square - mean * mean) / kHaltSampleLength;
  }
  EXPECT_NEAR(halting_metric(expected, "infer"), infer, 1e-9);
  EXPECT_NEAR(halting_metric(expected, "exit_depth"), depth, 1e-9);
  EXPECT_NEAR(halting_metric(expected, "earlystop"), early, 1e-9);
  EXPECT_NEAR(halting_metric(sampled, "infer"), infer,
              4 * std::sqrt(variance / (kHaltSamples * kHaltSampleLength)));
  double rates = 0, right = 0;
  for (int i = 0; i < kHaltLayers; ++i) {
    rates += halting_metric(expected, fmt::format("exit_rate/{}", i));
    right += halting_metric(expected, fmt::format("exit_correct/{}", i));
  }
  EXPECT_NEAR(rates, 1, 1e-9);
  EXPECT_NEAR(right, halting_metric(expected, "accuracy"), 1e-9);
  // Where somebody trains nothing is expected.
  pass.training = true;
  policy.halting.config.in_eval = HaltInEval::kSample;
  const double drawn = halting_metric(model->forward(batch, pass), "infer");
  policy.halting.config.in_eval = HaltInEval::kExpect;
  EXPECT_EQ(halting_metric(model->forward(batch, pass), "infer"), drawn);
}

TEST(WalkHalting, AnExpectationMixesTheLayersScores) {
  const at::NoGradGuard no_grad;
  const auto model = halting_model();
  Batch batch = corridor_batch();
  Policy policy = halting_policy(HaltRule::kBernoulli, {}, KeyFate::kSeen);
  policy.halting.config.in_eval = HaltInEval::kExpect;
  const KeptTrace trace = halting_walk(*model, policy, batch);
  Asked asked;
  asked.policy = &policy;
  asked.random = corridor_random();
  const NextToken next = model->next_token(Rows(batch), asked);
  EXPECT_EQ(next.computed, next.dense) << "all layers are computed";
  for (int64_t b = 0; b < kSequences; ++b) {
    const int64_t row = b * kLength + kLength - 1;
    HaltNumbers mixture(size_t(kVocab), 0);
    double left = 1, most = 0;
    int64_t layer = -1;
    for (size_t i = 0; i < size_t(kHaltLayers); ++i) {
      const LinearParams& head = model->walk().params().head.at(int(i / 2));
      const Tensor scores_RV = linear(trace.h(trace.steps[i]), head.weight, head.bias);
      const HaltNumbers p = numbers(at::log_softmax(scores_RV, -1).exp()[row]);
      const bool last = i + 1 == size_t(kHaltLayers);
      const double share = left * (last ? 1 : trace.steps[i].decision.score_R[row].item<double>());
      left -= share;
      if (share > most) most = share, layer = int64_t(i);
      for (size_t v = 0; v < p.size(); ++v) mixture[v] += share * p[v];
    }
    const HaltNumbers scores = numbers(next.scores_NV[b]);
    for (size_t v = 0; v < scores.size(); ++v) EXPECT_NEAR(scores[v], std::log(mixture[v]), 1e-10);
    EXPECT_EQ(next.layer_N[b].item<int64_t>(), layer);
  }
  asked.exit = Exit::kLast;
  EXPECT_EQ(model->next_token(Rows(batch), asked).layer_N[0].item<int64_t>(), kHaltLayers - 1);
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
