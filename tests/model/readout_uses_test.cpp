// In training a head is read where the objective, a rule or the answer asks for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/model/trace_flops.h"
#include "model/corridor_program.h"

namespace fathom::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr auto kNone = ReadoutUse::kNone, kRead = ReadoutUse::kRead, kTaught = ReadoutUse::kTaught;

// Layers 0, 1 (in a loop) and, unless the loop is the end, 2. `heads`: of each, whether it answers;
// all by one head.
DepthPlan plan_with(std::vector<bool> heads) {
  const auto layer = [&](int i) {
    return heads[size_t(i)] ? with_readout(block(i, kWidth), i) : block(i, kWidth);
  };
  std::vector<PlanNode> nodes = {{layer(0)}, {loop_of({{layer(1)}}, 0)}};
  if (heads.size() > 2) nodes.push_back({layer(2)});
  return plan_of(std::move(nodes));
}

// Of the last layer, each row's last answer.
SupervisionTerm last_of(size_t layers) {
  SupervisionTerm term = term_of(std::vector<double>(layers, 0));
  term.weights.back() = 1;
  term.last_reading = true;
  return term;
}

std::unique_ptr<DepthModel> with_dropout(const DepthPlan& plan, const Policy& policy,
                                         const SupervisionTable& table) {
  ModelConfig config;
  config.backbone = corridor_backbone();
  config.backbone.dropout = 0.2;
  auto model = std::make_unique<DepthModel>(ModelParts{
      config,
      kVocab,
      plan,
      policy,
      table,
      ParameterSet(parameter_table(plan, config.backbone, kVocab), 5, at::kCPU, at::kDouble),
      {}});
  disturb(*model, 0.4);
  return model;
}

Policy noisy(int64_t count) {
  Policy policy = loops({count});
  policy.loops[0].noise = kNoise;
  return policy;
}

Pass training_pass() {
  Pass pass = corridor_pass();
  pass.training = true;
  return pass;
}

struct Step {
  Tensor loss;
  std::vector<Tensor> gradients;
  double flops = 0;
};

Step step_of(const DepthModel& model) {
  const ModelOutput output = model.forward(corridor_batch(), training_pass());
  EXPECT_EQ(output.losses.size(), 1U);
  backward(output.losses.at(0).sum);
  Step step{output.losses.at(0).sum.detach(), {}, output.flops};
  for (const Tensor& t : tensors_of(model)) step.gradients.push_back(t.grad());
  return step;
}

// What heads in between would say costs nothing and changes no bit: neither of what is taught nor
// of the dropout and noise on the way.
TEST(ReadoutUses, HeadsThatNobodyAsksAreAsIfTheyWereNotThere) {
  const SupervisionTable table = {last_of(3)};
  const auto all = with_dropout(plan_with({true, true, true}), noisy(3), table);
  const auto end = with_dropout(plan_with({false, false, true}), noisy(3), table);
  ASSERT_EQ(all->parameters().all().size(), end->parameters().all().size());
  {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : all->parameters().all())
      end->parameters().at(p.spec.name).copy_(p.tensor);
  }
  const Step a = step_of(*all), b = step_of(*end);
  EXPECT_TRUE(same_bits(a.loss, b.loss));
  for (const Parameter& p : all->parameters().all()) {
    const Tensor one = p.tensor.grad(), other = end->parameters().at(p.spec.name).grad();
    ASSERT_EQ(one.defined(), other.defined()) << p.spec.name;
    if (one.defined()) {
      EXPECT_TRUE(same_bits(one, other)) << p.spec.name;
    }
  }
  EXPECT_EQ(a.flops, b.flops);
  // An evaluation lists them, and pays for them.
  const at::NoGradGuard no_grad;
  const ModelOutput listed = all->forward(corridor_batch(), corridor_pass());
  for (const char* at : {"0", "1.0", "1.1", "1.2", "2"})
    EXPECT_EQ(listed.metrics.count(std::string("layer_loss/") + at), 1U) << at;
  const double a_head = 2.0 * kSequences * kLength * kWidth * kVocab;
  EXPECT_DOUBLE_EQ(listed.flops,
                   end->forward(corridor_batch(), corridor_pass()).flops + 4 * a_head);
}

// Nor is the norm before such a head computed.
TEST(ReadoutUses, WhatNobodyReadsIsNotNormedEither) {
  const SupervisionTable table = {last_of(2)};
  const auto model = with_dropout(plan_with({true, true}), noisy(3), table);
  Kept kept = {"head"};
  WalkOptions options = with_needs(table, corridor_options(), kept);
  options.uses = readout_uses(table, model->program());
  ASSERT_THAT(options.uses, ElementsAre(kNone, kNone, kNone, kTaught));
  model->walk().run(model->program(), corridor_batch(), options);
  for (const int step : {0, 1, 2}) EXPECT_FALSE(kept.head(step).defined()) << step;
  EXPECT_TRUE(kept.head(3).defined());
}

// The head of a loop that is the end of the model: read once, after the last iteration.
TEST(ReadoutUses, AHeadInALoopIsReadWhereItTeaches) {
  const SupervisionTable table = {last_of(2)};
  const auto model = with_dropout(plan_with({false, true}), noisy(3), table);
  const Step once = step_of(*model);
  const auto same = with_dropout(plan_with({false, true}), noisy(3), table);
  const Batch batch = corridor_batch();
  Kept kept;
  WalkOptions options;
  options.training = true;
  options.random = corridor_random();
  options = with_needs(table, options, kept);
  const Trace trace = same->walk().run(same->program(), batch, options);
  ASSERT_EQ(trace.readouts().size(), 3U);
  const std::vector<LossPart> parts =
      supervise(table, {same->walk(), same->program(), batch, options, trace, kept});
  backward(parts.at(0).sum);
  EXPECT_NEAR(once.loss.item<double>(), parts.at(0).sum.item<double>(), 1e-12);
  const std::vector<Tensor> tensors = tensors_of(*same);
  for (size_t i = 0; i < tensors.size(); ++i) {
    ASSERT_EQ(once.gradients[i].defined(), tensors[i].grad().defined()) << i;
    if (tensors[i].grad().defined()) {
      EXPECT_LE(max_difference(once.gradients[i], tensors[i].grad()), 1e-12) << i;
    }
  }
  // Forward and backward.
  const double a_head = 2.0 * kSequences * kLength * kWidth * kVocab;
  const FlopsCounter counter(same->walk().plan(), same->program(), same->walk().backbone(), kVocab);
  EXPECT_DOUBLE_EQ(once.flops, flops_of(counter, trace, true) - 3 * 2 * a_head);
}

std::vector<ReadoutUse> uses_of(const Policy& policy, const SupervisionTable& table,
                                std::vector<bool> heads = {true, true, true}) {
  return readout_uses(table, unroll(plan_with(std::move(heads)), policy));
}

TEST(ReadoutUses, AreOfTheObjectiveAndItsRules) {
  EXPECT_THAT(uses_of(loops({2}), {last_of(3)}), ElementsAre(kNone, kNone, kNone, kTaught));
  EXPECT_THAT(uses_of(loops({2}), {term_of({0, 1})}), ElementsAre(kNone, kTaught, kTaught, kRead));
  EXPECT_THAT(uses_of(loops({2}), {last_of(3), term_of({1})}),
              ElementsAre(kTaught, kNone, kNone, kTaught));
  EXPECT_THAT(uses_of(loops({3}), {last_of(2)}, {false, true}), ElementsAre(kNone, kNone, kTaught));
  EXPECT_THAT(uses_of(loops({3}), {term_of({0, 1})}, {false, true}), Each(kTaught));
  // A walk that halts, or would, reads them all; what the objective does not read teaches nothing.
  Policy halts = loops({2});
  halts.halting.config.rule = HaltRule::kMax;
  EXPECT_THAT(uses_of(halts, {last_of(3)}), ElementsAre(kRead, kRead, kRead, kTaught));
  halts.halting.config.use = HaltUse::kLog;
  EXPECT_THAT(uses_of(halts, {last_of(3)}), ElementsAre(kRead, kRead, kRead, kTaught));
  // Who leaves a loop in training answers with what it said there.
  Policy leaves = loops({3});
  leaves.loops[0].stop_probability = 0.5;
  EXPECT_THAT(uses_of(leaves, {last_of(2)}, {false, true}), Each(kTaught));
  EXPECT_THAT(uses_of(leaves, {last_of(3)}), ElementsAre(kRead, kRead, kRead, kRead, kTaught));
  // A rule of a loop rests in training, and late entries all come to the last iteration.
  Policy rests = loops({3});
  rests.loops[0].halting.config.rule = HaltRule::kMax;
  rests.loops[0].halting.in_training = false;
  EXPECT_THAT(uses_of(rests, {last_of(2)}, {false, true}), ElementsAre(kNone, kNone, kTaught));
  // Terms that ask what other layers say.
  for (const char* text :
       {"loss = ce*stop(prev.p_max) [layers=last]", "loss = ce*expected_asked [layers=last]",
        "loss = ce*(1 + agrees) [layers=last]", "loss = ce*survives [layers=last]",
        "loss = ce [layers=last]; c = ln(p_max) [layers=1, judge=next_frozen]"})
    EXPECT_THAT(uses_of(loops({2}), supervision_of(text, 3)), IsEmpty()) << text;
}

// Sequences that enter late, by their own counts: as if all readings were made.
TEST(ReadoutUses, OfSequencesWithCountsOfTheirOwn) {
  Policy late = noisy(3);
  late.loops[0].counts = {1, 3};
  const SupervisionTable table = {last_of(2)};
  const auto model = with_dropout(plan_with({false, true}), late, table);
  const Batch batch = corridor_batch();
  const ModelOutput output = model->forward(batch, training_pass());
  Kept kept;
  WalkOptions options;
  options.training = true;
  options.random = corridor_random();
  options = with_needs(table, options, kept);
  const Trace trace = model->walk().run(model->program(), batch, options);
  const std::vector<LossPart> parts =
      supervise(table, {model->walk(), model->program(), batch, options, trace, kept});
  EXPECT_NEAR(output.losses.at(0).sum.item<double>(), parts.at(0).sum.item<double>(), 1e-12);
  EXPECT_NEAR(output.loss.sum.item<double>(),
              answer_loss(table, trace, batch, parts).sum.item<double>(), 1e-12);
}

}  // namespace
}  // namespace fathom::testing
