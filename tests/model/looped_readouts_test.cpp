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

// Of rows that have not entered, or have left, a loop's readout says nothing.
TEST(LoopedReadouts, LeaveOutTheRowsThatAreNotInTheLoop) {
  Policy policy = loops({3});
  policy.loops[0].counts = {1, 3};
  const auto model = model_of_plan(looped_plan(), policy, {term_of({1, 1})});
  const Batch batch = corridor_batch();
  const at::NoGradGuard no_grad;
  const ModelOutput output = model->forward(batch, corridor_pass());
  const Tensor has_target = batch.targets_BT.ne(-1);
  const auto there = [&](const char* name) { return output.metrics.at(name).count; };
  EXPECT_EQ(there("layer_loss/1.0"), has_target[1].sum().item<double>());
  EXPECT_EQ(there("layer_accuracy/1.1"), has_target[1].sum().item<double>());
  EXPECT_EQ(there("layer_loss/1.2"), has_target.sum().item<double>());
  // The objective as well: each iteration's cross entropies of those that are there.
  double sum = 0;
  const Trace trace = model->walk().run(model->program(), batch, corridor_options());
  for (const StepRecord* r : trace.readouts())
    for (int64_t i = 0; i < kSequences * kLength; ++i)
      if (has_target.view(-1)[i].item<bool>() &&
          !(r->away_R.defined() && r->away_R[i].item<bool>()))
        sum -= batch.weight_BT.view(-1)[i].item<double>() * r->reading.ln_p_R[i].item<double>();
  EXPECT_NEAR(output.losses.at(0).sum.item<double>(), sum, 1e-10);
}

// Where rows leave a loop before the last readout, their answer is what they said last.
TEST(LoopedReadouts, AnswerWithWhatARowSaidLast) {
  Policy policy = loops({4});
  policy.loops[0].halting.config.rule = HaltRule::kLatentChange;
  policy.loops[0].halting.config.threshold = 10;
  const auto model = model_of_plan(looped_plan(), policy, {term_of({0, 1})});
  const auto shorter = model_of_plan(looped_plan(), loops({2}), {term_of({0, 1})});
  const at::NoGradGuard no_grad;
  const ModelOutput left = model->forward(corridor_batch(), corridor_pass());
  const ModelOutput two = shorter->forward(corridor_batch(), corridor_pass());
  EXPECT_NEAR(left.loss.sum.item<double>(), two.loss.sum.item<double>(), 1e-10);
  EXPECT_EQ(left.metrics.at("accuracy").sum, two.metrics.at("accuracy").sum);
  EXPECT_EQ(left.metrics.at("layer_loss/1.3").count, 0);
}

// Where the last layer alone is trained, and loops: each row's last answer, whoever goes on.
TEST(LoopedReadouts, TrainTheLastOneOfEachRowAlone) {
  SupervisionConfig last, all;
  all.layer_supervision = {"all", {}};
  EXPECT_FALSE(make_supervision(all, 2).at(0).last_reading);
  const SupervisionTable table = make_supervision(last, 2);
  ASSERT_TRUE(table.at(0).last_reading);
  const Batch batch = corridor_batch();
  const auto loss_of = [&](const Policy& policy, const SupervisionTable& of) {
    const ModelOutput output =
        model_of_plan(looped_plan(), policy, of)->forward(batch, corridor_pass());
    EXPECT_EQ(output.losses.size(), 1U);
    return output.losses.at(0).sum.item<double>();
  };
  const auto by_hand = [&](const Policy& policy) {
    const auto model = model_of_plan(looped_plan(), policy, table);
    const Trace trace = model->walk().run(model->program(), batch, corridor_options());
    double sum = 0;
    for (int64_t i = 0; i < kSequences * kLength; ++i) {
      double answer = 0;
      for (const StepRecord* r : trace.readouts())
        if (r->layer == 1 && !(r->away_R.defined() && r->away_R[i].item<bool>()))
          answer = r->reading.ln_p_R[i].item<double>();
      if (batch.targets_BT.view(-1)[i].item<int64_t>() != -1)
        sum -= batch.weight_BT.view(-1)[i].item<double>() * answer;
    }
    return sum;
  };
  Policy leaves = loops({4});
  leaves.loops[0].halting.config.rule = HaltRule::kLatentChange;
  leaves.loops[0].halting.config.threshold = 10;
  Policy late = loops({3});
  late.loops[0].counts = {1, 3};
  for (const Policy& policy : {loops({1}), loops({3}), leaves, late})
    EXPECT_NEAR(loss_of(policy, table), by_hand(policy), 1e-10);
  EXPECT_GT(loss_of(loops({3}), {term_of({0, 1})}), loss_of(loops({3}), table))
      << "else every iteration's";
}

TEST(LoopedReadouts, HaveALineForEachIterationInLosses) {
  Policy policy = loops({3});
  policy.halting.config.rule = HaltRule::kMax;
  policy.halting.config.threshold = 0.3;
  SupervisionTerm term = term_of({1, 1});
  term.value = term.value * wire::name("survives");
  term.per = SupervisionTerm::kSurvives;
  const auto model = model_of_plan(looped_plan(), policy, {term});
  std::vector<std::string> parts;
  for (const LossPart& part : model->forward(corridor_batch(), corridor_pass()).losses)
    parts.push_back(part.name);
  EXPECT_THAT(parts, ElementsAre("loss/0", "loss/1.0", "loss/1.1", "loss/1.2"));
}

}  // namespace
}  // namespace fathom::testing
