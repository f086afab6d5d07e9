// Depth that a pass chooses: more layers than were trained go on with the cycle, fewer cut it off.
#include "fathom/model/spec/layer_cycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_testing.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Layers of these instances, numbered in order; the last one answers, or all.
DepthPlan cycle_plan(const std::vector<int>& instances, bool all_answer = false) {
  std::vector<PlanNode> nodes;
  for (size_t i = 0; i < instances.size(); ++i) {
    LayerSpec layer = testing::block(instances[i], 8);
    layer.number = int(i);
    if (all_answer || i + 1 == instances.size()) layer = testing::with_readout(layer, int(i));
    nodes.push_back({layer});
  }
  return testing::plan_of(nodes);
}

DepthProgram program_of_layers(const DepthPlan& plan, int64_t count) {
  Policy policy;
  policy.layers = count;
  return unroll(plan, policy);
}

std::vector<int> instances_of(const DepthProgram& program) {
  std::vector<int> out;
  for (const StepSpec& step : program.steps) out.push_back(step.layer.mlp.front().instance);
  return out;
}

std::vector<int> readers_of(const DepthProgram& program) {
  std::vector<int> out;
  for (const StepSpec& step : program.steps)
    if (step.readout >= 0) out.push_back(step.layer.readout->layer);
  return out;
}

TEST(LayerCycle, IsTheShortestThatHolds) {
  const auto length = [](const std::vector<int>& instances) {
    return cycle_length(cycle_plan(instances));
  };
  EXPECT_EQ(length({0, 0, 0}), 1);
  EXPECT_EQ(length({0, 1, 0, 1}), 2);
  EXPECT_EQ(length({0, 1, 2, 0}), 3);
  EXPECT_EQ(length({0, 0, 1, 1}), 0);
  EXPECT_EQ(length({0, 1, 2}), 0);
  EXPECT_EQ(length({0}), 0) << "one layer shows no cycle";
  DepthPlan plan = cycle_plan({0, 0, 0});
  std::get<LayerSpec>(plan.nodes[2].node).norm_in.index = 5;
  EXPECT_EQ(cycle_length(plan), 0) << "its norm is its own";
}

TEST(LayerCycle, GoesOnOrIsCutOff) {
  const DepthPlan plan = cycle_plan({0, 1, 0});
  EXPECT_THAT(instances_of(program_of_layers(plan, 7)), ElementsAre(0, 1, 0, 1, 0, 1, 0));
  EXPECT_THAT(instances_of(program_of_layers(plan, 2)), ElementsAre(0, 1));
  EXPECT_THAT(readers_of(program_of_layers(plan, 7)), ElementsAre(6)) << "the last one alone";
  EXPECT_THAT(readers_of(program_of_layers(plan, 2)), ElementsAre(1));
  EXPECT_THAT(readers_of(program_of_layers(cycle_plan({0, 0, 0}, true), 5)),
              ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(program_of_layers(plan, 3).policy.layers, 0) << "as the plan is";
  EXPECT_THAT(readers_of(program_of_layers(plan, 3)), ElementsAre(2));
  const DepthProgram deep = program_of_layers(plan, 7);
  EXPECT_EQ(deep.cache_slots, 7);
  EXPECT_EQ(deep.steps[6].site("halt", deep.steps[6].place), "halt.6");
}

// Those of a rule that asks every layer have the layers' own numbers too.
TEST(LayerCycle, WhoIsAskedBeyondThePlanIsNumberedOn) {
  Policy policy;
  policy.layers = 6;
  policy.halting.asks_all = true;
  EXPECT_THAT(readers_of(unroll(cycle_plan({0, 1, 0}), policy)), ElementsAre(0, 1, 2, 3, 4, 5));
}

// A door that all layers but the first have is every further layer's.
TEST(LayerCycle, RepeatsDoorsButTheFirst) {
  DepthPlan plan = cycle_plan({0, 0, 0});
  for (const size_t i : {1, 2})
    std::get<LayerSpec>(plan.nodes[i].node).door = {{Injection::kPositionTable, 0}};
  const DepthProgram deep = program_of_layers(plan, 5);
  std::vector<size_t> doors;
  for (const StepSpec& step : deep.steps) doors.push_back(step.layer.door.size());
  EXPECT_THAT(doors, ElementsAre(0, 1, 1, 1, 1));
  std::get<LayerSpec>(plan.nodes[2].node).door[0].instance = 1;
  EXPECT_EQ(cycle_length(plan), 0);
}

TEST(LayerCycle, IsRefusedWhereNothingRepeats) {
  const auto refused = [](const DepthPlan& plan) {
    const Error e = testing::refusal_of([&] { program_of_layers(plan, 5); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(e.hint().empty());
    return std::string(e.what());
  };
  EXPECT_THAT(refused(cycle_plan({0, 1, 2})), HasSubstr("3 layers have weights of their own"));
  EXPECT_THAT(refused(testing::plan_of({{testing::loop_of({{testing::block(0, 8)}})},
                                        {testing::with_readout(testing::block(1, 8), 1)}})),
              HasSubstr("a plan with loops"));
  DepthPlan heads = cycle_plan({0, 0, 0}, true);
  std::get<LayerSpec>(heads.nodes[1].node).readout->head = 1;
  EXPECT_THAT(refused(heads), HasSubstr("heads or last norms of their own"));
}

// Thresholds by layer go on with the last one.
TEST(LayerCycle, HasTheLastThresholdBeyondTheList) {
  HaltingConfig config;
  config.rule = HaltRule::kMax;
  config.thresholds = {0.5, 0.6, 0.7};
  EXPECT_EQ(config.threshold_at(1), 0.6);
  EXPECT_EQ(config.threshold_at(11), 0.7);
}

// States of readouts of different widths are not compared.
TEST(LayerCycle, RulesOfStatesNeedOneWidth) {
  LayerSpec wide = testing::block(1, 12);
  wide.width_in = 8;
  wide.door = {{Injection::kWiden}};
  const DepthPlan plan = testing::plan_of(
      {{testing::with_readout(testing::block(0, 8), 0)}, {testing::with_readout(wide, 1, 1)}});
  Policy policy;
  for (const HaltRule rule : {HaltRule::kLatentChange, HaltRule::kConverge, HaltRule::kKl}) {
    policy.halting.config.rule = rule;
    EXPECT_THAT(testing::refusal_of([&] { unroll(plan, policy); }).what(),
                HasSubstr("layers of 8 and 12 channels"));
  }
  policy.halting.config.rule = HaltRule::kLowEntropy;
  EXPECT_EQ(unroll(plan, policy).readouts, 2);
}

}  // namespace
}  // namespace fathom
