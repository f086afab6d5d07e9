// What only passes do that nobody trains: draws and their expectation, and more or fewer layers
// than a model that shares them was trained with: what a plan of so many layers computes with the
// same weights, in a cache as anew.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <gmock/gmock.h>

#include <cmath>

#include "model/walk_halting.h"

namespace fathom::testing {
namespace {

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

// The signals of objectives are the metrics' shares, cap and all.
TEST(WalkHalting, AnObjectivesExpectationIsThatOfTheMetrics) {
  Batch batch = corridor_batch();
  batch.weight_BT = Tensor();
  for (const double cap : {1.0, 0.15}) {
    SCOPED_TRACE(cap);
    Policy policy = halting_policy(HaltRule::kBernoulli, {}, KeyFate::kSeen);
    policy.halting.config.temperature = 1;
    policy.halting.config.cap = cap;
    policy.halting.config.in_eval = HaltInEval::kExpect;
    const auto output_of = [&](const std::string& text) {
      const auto model =
          model_of_plan(halting_plan(), policy, supervision_of("x = " + text, kHaltLayers));
      return model->forward(batch, corridor_pass());
    };
    const auto value_of = [&](const std::string& text) {
      const LossPart part = output_of(text).losses.at(0);
      return part.sum.item<double>() / part.count;
    };
    const ModelOutput output = output_of("ce");
    EXPECT_NEAR(value_of("ce*expected_halts [layers=all]"), halting_metric(output, "infer"), 1e-9);
    for (int64_t i = 0; i < kHaltLayers; ++i)
      EXPECT_NEAR(value_of(fmt::format("expected_halts [layers={}]", i)),
                  halting_metric(output, fmt::format("exit_rate/{}", i)), 1e-9);
    EXPECT_LE(halting_metric(output, "exit_rate/0"), cap);
    EXPECT_NEAR(value_of("ce*stop(expected_asked) [layers=1]"),
                value_of(fmt::format("ce*(1 - min(prev.p_max, {})) [layers=1]", cap)), 1e-9);
  }
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

// `count` layers that take turns as two blocks; all of them answer, or the last one alone.
DepthPlan shared_depth_plan(int count, bool all_answer) {
  std::vector<PlanNode> nodes;
  for (int i = 0; i < count; ++i) {
    LayerSpec layer = block(i % 2, kWidth);
    layer.number = i;
    nodes.push_back({all_answer || i + 1 == count ? with_readout(layer, i) : layer});
  }
  return plan_of(nodes, kWidth);
}

std::unique_ptr<DepthModel> shared_depth_model(int count, bool all_answer, Policy policy = {}) {
  SupervisionTerm term = term_of(std::vector<double>(size_t(count), 0.0));
  term.weights.back() = 1;
  return model_of_plan(shared_depth_plan(count, all_answer), policy, {term});
}

Policy policy_of_layers(int64_t layers) {
  Policy policy;
  policy.layers = layers;
  return policy;
}

TEST(WalkDepth, IsThatOfAPlanOfSoManyLayers) {
  const at::NoGradGuard no_grad;
  const Batch batch = corridor_batch();
  for (const bool all : {false, true})
    for (const int count : {2, 3, 5, 7}) {
      SCOPED_TRACE(fmt::format("{} layers{}", count, all ? ", all answer" : ""));
      const auto model = shared_depth_model(4, all), other = shared_depth_model(count, all);
      const Policy policy = policy_of_layers(count);
      Pass pass;
      const ModelOutput expected = other->forward(batch, pass);
      pass.policy = &policy;
      const ModelOutput output = model->forward(batch, pass);
      EXPECT_TRUE(same_bits(output.loss.sum, expected.loss.sum));
      ASSERT_EQ(output.losses.size(), 1U);
      EXPECT_TRUE(same_bits(output.losses[0].sum, expected.loss.sum)) << "the objective";
      ASSERT_EQ(output.metrics.size(), expected.metrics.size());
      for (const auto& [name, metric] : expected.metrics) {
        ASSERT_EQ(output.metrics.count(name), 1U) << name;
        EXPECT_EQ(halting_metric(output, name), halting_metric(expected, name)) << name;
      }
      EXPECT_EQ(output.flops, expected.flops);
      Asked asked;
      const Tensor anew_NV = other->next_token(Rows(batch), asked).scores_NV;
      asked.policy = &policy;
      EXPECT_TRUE(same_bits(model->next_token(Rows(batch), asked).scores_NV, anew_NV));
    }
}

// The model's own policy may say how deep evaluations are: training stays as deep as the plan.
TEST(WalkDepth, IsOfPassesThatNobodyTrains) {
  const Batch batch = corridor_batch();
  const auto plain = shared_depth_model(4, true),
             deep = shared_depth_model(4, true, policy_of_layers(7));
  Pass pass;
  pass.training = true;
  const ModelOutput one = plain->forward(batch, pass), two = deep->forward(batch, pass);
  EXPECT_TRUE(same_bits(one.losses.at(0).sum, two.losses.at(0).sum));
  EXPECT_EQ(two.metrics.count("layer_loss/6"), 0U);
  pass.training = false;
  EXPECT_EQ(deep->forward(batch, pass).metrics.count("layer_loss/6"), 1U);
  EXPECT_FALSE(
      same_bits(plain->forward(batch, pass).loss.sum, deep->forward(batch, pass).loss.sum));
}

// Token by token, with halting and thresholds of which the last one goes on.
TEST(WalkDepth, IsSeenThroughACacheAsAnew) {
  const at::NoGradGuard no_grad;
  Policy policy = policy_of_layers(7);
  policy.halting.config.rule = HaltRule::kMargin;
  policy.halting.config.thresholds = {0.9, 0.2, 0.25};
  const auto model = shared_depth_model(4, true, policy);
  const Tensor tokens_BT = corridor_batch().tokens_BT;
  WalkCache cache(kSequences, kLength);
  for (int64_t t = 0; t < kLength; ++t) {
    Batch whole;
    whole.tokens_BT = tokens_BT.narrow(1, 0, t + 1).contiguous();
    const NextToken anew = model->next_token(Rows(whole), Asked());
    std::vector<std::vector<int64_t>> news;
    for (int64_t b = 0; b < kSequences; ++b) news.push_back({tokens_BT[b][t].item<int64_t>()});
    Asked asked;
    asked.cache = &cache;
    const NextToken grown =
        model->next_token(Rows(news, std::vector<int64_t>(size_t(kSequences), t), at::kCPU), asked);
    EXPECT_LE(max_difference(anew.scores_NV, grown.scores_NV), 1e-12);
    EXPECT_EQ(numbers(anew.layer_N), numbers(grown.layer_N));
  }
}

}  // namespace
}  // namespace fathom::testing
