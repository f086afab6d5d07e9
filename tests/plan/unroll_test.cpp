// From a plan with loops to the straight program of one walk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_testing.h"
#include "fathom/model/plan/depth_plan.h"
#include "plan/plans.h"

namespace fathom {
namespace {

using testing::block;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::loop_of;
using testing::plan_of;
using testing::refusal_of;

// Which weights each step uses.
std::vector<int> order(const DepthProgram& program) {
  std::vector<int> instances;
  for (const StepSpec& step : program.steps) instances.push_back(step.layer.attention.at(0));
  return instances;
}

std::string word(const Injection& injection) {
  switch (injection.kind) {
    case Injection::kOpenLoop:
      return "open";
    case Injection::kLoopInput:
      return injection.first ? "first input" : "input";
    case Injection::kGate:
      return "gate";
    case Injection::kWiden:
      return "widen";
    case Injection::kTokenTable:
      return "table";
  }
  return "";
}

// "open, first input" of each step's door.
std::vector<std::string> doors(const DepthProgram& program) {
  std::vector<std::string> out;
  for (const StepSpec& step : program.steps) {
    std::string text;
    for (const Injection& injection : step.layer.door)
      text += (text.empty() ? "" : ", ") + word(injection);
    out.push_back(text);
  }
  return out;
}

template <class Get>
auto each(const DepthProgram& program, const Get& get) {
  std::vector<decltype(get(program.steps[0]))> out;
  for (const StepSpec& step : program.steps) out.push_back(get(step));
  return out;
}
std::vector<int> closes(const DepthProgram& program) {
  return each(program, [](const StepSpec& s) { return s.closes_loops; });
}
std::vector<int> grads(const DepthProgram& program) {
  return each(program, [](const StepSpec& s) { return int(s.grad); });
}
std::vector<Injection> inputs(const DepthProgram& program) {
  std::vector<Injection> out;
  for (const StepSpec& step : program.steps)
    for (const Injection& injection : step.layer.door)
      if (injection.kind == Injection::kLoopInput) out.push_back(injection);
  return out;
}

TEST(Unroll, APlanWithoutLoopsIsItsLayers) {
  const DepthProgram program =
      unroll(plan_of({{block(0, 8)}, {block(1, 8, {{Injection::kTokenTable, 1}})}, {block(2, 8)}}));
  EXPECT_EQ(program.depth(), 3U);
  EXPECT_THAT(order(program), ElementsAre(0, 1, 2));
  EXPECT_THAT(doors(program), ElementsAre("", "table", ""));
  EXPECT_THAT(closes(program), ElementsAre(0, 0, 0));
  EXPECT_THAT(grads(program), ElementsAre(1, 1, 1));
  EXPECT_THAT(each(program, [](const StepSpec& s) { return s.index; }), ElementsAre(0, 1, 2));
}

TEST(Unroll, AGroupRunsAsOften) {
  const DepthPlan plan =
      plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}, {block(2, 8)}}, 3)}, {block(3, 8)}});
  const DepthProgram program = unroll(plan);
  EXPECT_THAT(order(program), ElementsAre(0, 1, 2, 1, 2, 1, 2, 3));
  EXPECT_THAT(doors(program),
              ElementsAre("", "open, first input", "", "input", "", "input", "", ""));
  EXPECT_THAT(closes(program), ElementsAre(0, 0, 0, 0, 0, 0, 1, 0));
  for (const Injection& input : inputs(program)) {
    EXPECT_EQ(input.instance, -1) << "no adapter: added";
    EXPECT_FALSE(input.single);
    EXPECT_FALSE(input.cut_state);
  }
}

TEST(Unroll, EveryAttentionCallOfEveryIterationHasACacheSlot) {
  DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}}, 2)}, {block(2, 8)}});
  const auto slots = [&] {
    return each(unroll(plan), [](const StepSpec& s) { return s.cache_slot; });
  };
  EXPECT_THAT(slots(), ElementsAre(0, 1, 2, 3));
  using namespace wire;
  plan.wirings.push_back({{{"r", name("r") + attention(attention(name("n")))},
                           {"r", name("r") + mlp(norm(attention(name("r"))))}}});
  std::get<LayerSpec>(std::get<LoopGroup>(plan.nodes[1].node).body[0].node).wiring = 1;
  EXPECT_THAT(slots(), ElementsAre(0, 1, 4, 7));
  plan.wirings[1] = {{{"r", name("r") + mlp(norm(name("n")))}}};
  EXPECT_THAT(slots(), ElementsAre(0, 1, 1, 1)) << "a block without attention needs none";
}

TEST(Unroll, CountsAreByGroupAndMissingOnesAreTheGroupsOwn) {
  const DepthPlan plan = plan_of({{loop_of({{block(0, 8)}}, 2)},
                                  {loop_of({{block(1, 8)}}, 1)},
                                  {loop_of({{block(2, 8)}}, 3)}});
  EXPECT_THAT(order(unroll(plan)), ElementsAre(0, 0, 1, 2, 2, 2));
  EXPECT_THAT(order(unroll(plan, {1, 2})), ElementsAre(0, 1, 1, 2, 2, 2));
  EXPECT_THAT(order(unroll(plan, {3, 1, 1})), ElementsAre(0, 0, 0, 1, 2));
}

TEST(Unroll, ALoopRunsAtLeastOnceAndHasLayers) {
  const DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}}, 2)}});
  for (const int64_t count : {0, -1}) {
    const Error e = refusal_of([&] { unroll(plan, {count}); });
    EXPECT_THAT(e.what(), HasSubstr("loop group 0"));
    EXPECT_THAT(e.what(), HasSubstr(std::to_string(count)));
  }
  EXPECT_THAT(refusal_of([&] { unroll(plan_of({{loop_of({{block(0, 8)}}, 0)}})); }).what(),
              HasSubstr("0 times"));
  EXPECT_THAT(refusal_of([&] {
                unroll(plan_of({{block(0, 8)}, {loop_of({}, 2)}}));
              }).what(),
              HasSubstr("has no layers"));
}

TEST(Unroll, MoreCountsThanGroupsAreRefused) {
  const DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}}, 2)}});
  EXPECT_THAT(refusal_of([&] {
                unroll(plan, {1, 2});
              }).what(),
              HasSubstr("2 loop counts for 1 loop groups"));
}

// Outer group of an inner one and a layer.
DepthPlan nested(int64_t outer, int64_t inner) {
  return plan_of({{loop_of({{loop_of({{block(0, 8)}}, inner)}, {block(1, 8)}}, outer)},
                  {loop_of({{block(2, 8)}}, 2)}});
}

TEST(Unroll, NestedGroupsOpenAgainInEveryIteration) {
  const DepthProgram program = unroll(nested(2, 2));
  EXPECT_THAT(order(program), ElementsAre(0, 0, 1, 0, 0, 1, 2, 2));
  EXPECT_THAT(doors(program),
              ElementsAre("open, first input, open, first input", "input", "",
                          "input, open, first input", "input", "", "open, first input", "input"));
  EXPECT_THAT(closes(program), ElementsAre(0, 1, 0, 0, 1, 1, 0, 1));
}

TEST(Unroll, GroupsAreNumberedByTheirFirstLayerOuterBeforeInner) {
  EXPECT_THAT(order(unroll(nested(2, 2), {1, 3, 1})), ElementsAre(0, 0, 0, 1, 2));
  EXPECT_THAT(order(unroll(nested(2, 2), {2, 1, 3})), ElementsAre(0, 1, 0, 1, 2, 2, 2));
}

TEST(Unroll, OneStepMayCloseSeveralLoops) {
  const DepthPlan plan =
      plan_of({{loop_of({{block(1, 8)}, {loop_of({{block(0, 8)}}, 2)}}, 2)}, {block(2, 8)}});
  EXPECT_THAT(order(unroll(plan)), ElementsAre(1, 0, 0, 1, 0, 0, 2));
  EXPECT_THAT(closes(unroll(plan)), ElementsAre(0, 0, 1, 0, 0, 2, 0));
}

// Whatever is opened is closed, and never before.
TEST(Unroll, OpenLoopsAreClosedAtTheEnd) {
  for (int64_t outer = 1; outer < 4; ++outer)
    for (int64_t inner = 1; inner < 4; ++inner) {
      int open = 0;
      for (const StepSpec& step : unroll(nested(outer, inner)).steps) {
        for (const Injection& injection : step.layer.door) {
          open += injection.kind == Injection::kOpenLoop;
          EXPECT_TRUE(injection.kind != Injection::kLoopInput || open > 0);
        }
        open -= step.closes_loops;
        EXPECT_GE(open, 0);
      }
      EXPECT_EQ(open, 0) << outer << " x " << inner;
    }
}

LoopGroup adapted(int64_t count, int adapter, double noise = 0) {
  LoopGroup group = loop_of({{block(0, 8)}}, count);
  group.adapter = adapter;
  group.noise = noise;
  return group;
}

TEST(Unroll, ALoopOfOneIteration) {
  EXPECT_THAT(doors(unroll(plan_of({{adapted(1, -1, 0.5)}}))), ElementsAre("open"))
      << "nothing is added to its input";
  LoopGroup bypassed = adapted(1, 4, 0.5);
  bypassed.single_pass_adapter = false;
  EXPECT_THAT(doors(unroll(plan_of({{bypassed}}))), ElementsAre("open"));
  const DepthProgram program = unroll(plan_of({{adapted(1, 4, 0.5)}}));
  EXPECT_THAT(doors(program), ElementsAre("open, first input"));
  ASSERT_EQ(inputs(program).size(), 1U);
  EXPECT_TRUE(inputs(program)[0].single);
  EXPECT_EQ(inputs(program)[0].instance, 4);
  EXPECT_EQ(inputs(program)[0].noise, 0) << "noise is a state, and one iteration has none";
  // Whether the adapter is bypassed is decided by the draw.
  EXPECT_THAT(doors(unroll(plan_of({{bypassed}}), {2})), ElementsAre("open, first input", "input"));
}

TEST(Unroll, AdapterAndNoiseGoWithEveryInput) {
  const std::vector<Injection> all = inputs(unroll(plan_of({{adapted(3, 4, 0.5)}})));
  ASSERT_EQ(all.size(), 3U);
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(all[k].instance, 4);
    EXPECT_EQ(all[k].noise, 0.5);
    EXPECT_EQ(all[k].first, k == 0);
    EXPECT_FALSE(all[k].single);
  }
}

TEST(Unroll, InjectionsOfTheFirstIterationAreThatOnly) {
  Injection once{Injection::kTokenTable, 1}, always{Injection::kWiden};
  once.every_iteration = false;
  const LoopGroup inner = loop_of({{block(0, 8, {once, always})}}, 2);
  EXPECT_THAT(doors(unroll(plan_of({{inner}}))),
              ElementsAre("open, first input, table, widen", "input, widen"))
      << "a layer's own come after its loop's";
  EXPECT_THAT(doors(unroll(plan_of({{loop_of({{inner}}, 2)}}))),
              ElementsAre("open, first input, open, first input, table, widen", "input, widen",
                          "input, open, first input, widen", "input, widen"))
      << "the inner loop's first iteration in the outer one's second is no first";
  EXPECT_THAT(doors(unroll(plan_of({{block(0, 8, {once})}}))), ElementsAre("table"));
}

std::vector<int> cuts(const DepthProgram& program) {
  std::vector<int> out;
  for (const Injection& input : inputs(program)) out.push_back(input.cut_state);
  return out;
}

TEST(Unroll, TruncationKeepsTheLastIterations) {
  LoopGroup group = loop_of({{block(0, 8)}, {block(1, 8)}}, 4);
  group.backprop_depth = 3;
  const DepthPlan plan = plan_of({{block(2, 8)}, {group}, {block(3, 8)}});
  EXPECT_THAT(grads(unroll(plan)), ElementsAre(1, 0, 0, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(unroll(plan)), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(grads(unroll(plan, {5})), ElementsAre(1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(unroll(plan, {5})), ElementsAre(0, 0, 1, 0, 0));
  EXPECT_THAT(grads(unroll(plan, {3})), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(unroll(plan, {3})), ElementsAre(0, 0, 0));
  EXPECT_THAT(cuts(unroll(plan, {1})), ElementsAre());
}

TEST(Unroll, AnInnerLoopHasAGradientWhereBothHaveOne) {
  LoopGroup inner = loop_of({{block(0, 8)}}, 3);
  inner.backprop_depth = 2;
  LoopGroup outer = loop_of({{inner}, {block(1, 8)}}, 2);
  outer.backprop_depth = 1;
  const DepthProgram program = unroll(plan_of({{outer}}));
  EXPECT_THAT(order(program), ElementsAre(0, 0, 0, 1, 0, 0, 0, 1));
  EXPECT_THAT(grads(program), ElementsAre(0, 0, 0, 0, 0, 1, 1, 1));
  // Inputs: outer, inner 0..2, twice.
  EXPECT_THAT(cuts(program), ElementsAre(0, 0, 1, 0, 1, 0, 1, 0));
}

}  // namespace
}  // namespace fathom
