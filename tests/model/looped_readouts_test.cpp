// A layer in a loop that answers after every iteration has a line for each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;

DepthPlan looped_plan() {
  const LoopGroup loop = loop_of({{with_readout(block(1, kWidth), 1)}});
  return plan_of({{with_readout(block(0, kWidth), 0)}, {loop}});
}

std::vector<std::string> names(const ModelOutput& output, const std::string& list) {
  std::vector<std::string> out;
  for (const auto& [name, metric] : output.metrics)
    if (name.rfind(list + "/", 0) == 0) out.push_back(name.substr(list.size() + 1));
  return out;
}

TEST(LoopedReadouts, HaveALineForEachIterationInMetrics) {
  Policy policy = loops({2});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.config.threshold = 0.3;
  const auto model = model_of_plan(looped_plan(), policy, {term_of({1, 1})});
  const at::NoGradGuard no_grad;
  const ModelOutput output = model->forward(corridor_batch(), corridor_pass());
  for (const char* list : {"layer_loss", "layer_accuracy", "exit_rate", "exit_correct"})
    EXPECT_THAT(names(output, list), ElementsAre("0", "1.0", "1.1")) << list;
  EXPECT_NE(output.metrics.at("layer_loss/1.0").sum, output.metrics.at("layer_loss/1.1").sum);
  EXPECT_EQ(output.loss.sum.item<double>() > 0, true);
  double rates = 0;
  for (const char* at : {"0", "1.0", "1.1"})
    rates += output.metrics.at(std::string("exit_rate/") + at).sum;
  EXPECT_EQ(rates, output.metrics.at("exit_rate/0").count);
  // Longer than it was trained: more lines, and the first ones the same.
  Pass longer = corridor_pass();
  Policy four = policy;
  four.loops[0].count = 4;
  longer.policy = &four;
  const ModelOutput more = model->forward(corridor_batch(), longer);
  EXPECT_THAT(names(more, "layer_loss"), ElementsAre("0", "1.0", "1.1", "1.2", "1.3"));
  for (const char* at : {"layer_loss/0", "layer_loss/1.0", "layer_loss/1.1"})
    EXPECT_EQ(more.metrics.at(at).sum, output.metrics.at(at).sum) << at;
}

TEST(LoopedReadouts, HaveALineForEachIterationInLosses) {
  Policy policy = loops({3});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.config.threshold = 0.3;
  SupervisionTerm term = term_of({1, 1});
  term.gate = SupervisionTerm::kStays;
  term.denominator = SupervisionTerm::kGated;
  const auto model = model_of_plan(looped_plan(), policy, {term});
  std::vector<std::string> parts;
  for (const LossPart& part : model->forward(corridor_batch(), corridor_pass()).losses)
    parts.push_back(part.name);
  EXPECT_THAT(parts, ElementsAre("loss/0", "loss/1.0", "loss/1.1", "loss/1.2"));
}

}  // namespace
}  // namespace fathom::testing
