// Passes of more or fewer layers than a model that shares them was trained with: what a plan of so
// many layers computes with the same weights, in training nothing else, in a cache as anew.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>

#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

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

double depth_metric(const ModelOutput& output, const std::string& name) {
  return output.metrics.at(name).sum / output.metrics.at(name).count;
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
        EXPECT_EQ(depth_metric(output, name), depth_metric(expected, name)) << name;
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
