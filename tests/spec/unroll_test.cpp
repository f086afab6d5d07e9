// From a plan with loops to the straight program of one walk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "config/config_testing.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/loop_counts.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using testing::block;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::loop_of;
using testing::loops;
using testing::plan_of;
using testing::refusal_of;

// Which weights each step uses.
std::vector<int> order(const DepthProgram& program) {
  std::vector<int> instances;
  for (const StepSpec& step : program.steps)
    instances.push_back(step.layer.attention.at(0).instance);
  return instances;
}

std::string word(const Injection& injection) {
  switch (injection.kind) {
    case Injection::kOpenLoop:
      return "open";
    case Injection::kLoopInput:
      return "input";
    case Injection::kGate:
      return "gate";
    case Injection::kWiden:
      return "widen";
    case Injection::kTokenTable:
      return "table";
    default:
      return "other";
  }
}

// "open, input" of each step's door.
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
  return each(program, [](const StepSpec& s) {
    return int(
        std::count_if(s.ends.begin(), s.ends.end(), [](const LoopEnd& e) { return e.closes; }));
  });
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
      plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}, {block(2, 8)}})}, {block(3, 8)}});
  const DepthProgram program = unroll(plan, loops({3}));
  EXPECT_THAT(order(program), ElementsAre(0, 1, 2, 1, 2, 1, 2, 3));
  EXPECT_THAT(doors(program), ElementsAre("", "open, input", "", "input", "", "input", "", ""));
  EXPECT_THAT(closes(program), ElementsAre(0, 0, 0, 0, 0, 0, 1, 0));
  for (const Injection& input : inputs(program)) {
    EXPECT_EQ(input.instance, -1) << "no adapter: added";
    EXPECT_FALSE(input.cut_state);
  }
}

TEST(Unroll, EveryAttentionCallOfEveryIterationHasACacheSlot) {
  DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}})}, {block(2, 8)}});
  const auto slots = [&] {
    return each(unroll(plan, loops({2})), [](const StepSpec& s) { return s.cache_slot; });
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

TEST(Unroll, CountsAreByGroupAndMissingOnesAreOne) {
  const DepthPlan plan =
      plan_of({{loop_of({{block(0, 8)}})}, {loop_of({{block(1, 8)}})}, {loop_of({{block(2, 8)}})}});
  EXPECT_THAT(order(unroll(plan)), ElementsAre(0, 1, 2));
  EXPECT_THAT(order(unroll(plan, loops({1, 2}))), ElementsAre(0, 1, 1, 2));
  EXPECT_THAT(order(unroll(plan, loops({3, 1, 2}))), ElementsAre(0, 0, 0, 1, 2, 2));
}

TEST(Unroll, ALoopRunsAtLeastOnceAndHasLayers) {
  const DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}})}});
  for (const int64_t count : {0, -1}) {
    const Error e = refusal_of([&] { unroll(plan, loops({count})); });
    EXPECT_THAT(e.what(), HasSubstr("the loop of layer 1"));
    EXPECT_THAT(e.what(), HasSubstr(std::to_string(count)));
  }
  EXPECT_THAT(refusal_of([&] {
                unroll(plan_of({{block(0, 8)}, {loop_of({})}}));
              }).what(),
              HasSubstr("has no layers"));
}

// A loop around one loop and nothing else has its layers, and yet another name.
TEST(Unroll, LoopsOfTheSameLayersAreToldApart) {
  const DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{loop_of({{block(1, 8)}})}})}});
  EXPECT_THAT(loop_group_names(plan), ElementsAre("layer 1", "layer 1, inner"));
  EXPECT_THAT(refusal_of([&] {
                unroll(plan, loops({1, 0}));
              }).what(),
              HasSubstr("the loop of layer 1, inner cannot run 0 times"));
}

TEST(Unroll, MoreCountsThanGroupsAreRefused) {
  const DepthPlan plan = plan_of({{block(0, 8)}, {loop_of({{block(1, 8)}})}});
  EXPECT_THAT(refusal_of([&] {
                unroll(plan, loops({1, 2}));
              }).what(),
              HasSubstr("a policy for 2 loop groups, the plan has 1"));
}

// Outer group of an inner one and a layer.
DepthPlan nested() {
  return plan_of(
      {{loop_of({{loop_of({{block(0, 8)}})}, {block(1, 8)}})}, {loop_of({{block(2, 8)}})}});
}

TEST(Unroll, NestedGroupsOpenAgainInEveryIteration) {
  const DepthProgram program = unroll(nested(), loops({2, 2, 2}));
  EXPECT_THAT(order(program), ElementsAre(0, 0, 1, 0, 0, 1, 2, 2));
  EXPECT_THAT(doors(program),
              ElementsAre("open, input, open, input", "input", "", "input, open, input", "input",
                          "", "open, input", "input"));
  EXPECT_THAT(closes(program), ElementsAre(0, 1, 0, 0, 1, 1, 0, 1));
}

TEST(Unroll, GroupsAreNumberedByTheirFirstLayerOuterBeforeInner) {
  EXPECT_THAT(order(unroll(nested(), loops({1, 3, 1}))), ElementsAre(0, 0, 0, 1, 2));
  EXPECT_THAT(order(unroll(nested(), loops({2, 1, 3}))), ElementsAre(0, 1, 0, 1, 2, 2, 2));
}

TEST(Unroll, OneStepMayCloseSeveralLoops) {
  const DepthPlan plan =
      plan_of({{loop_of({{block(1, 8)}, {loop_of({{block(0, 8)}})}})}, {block(2, 8)}});
  const DepthProgram program = unroll(plan, loops({2, 2}));
  EXPECT_THAT(order(program), ElementsAre(1, 0, 0, 1, 0, 0, 2));
  EXPECT_THAT(closes(program), ElementsAre(0, 0, 1, 0, 0, 2, 0));
}

// Whatever is opened is closed, and never before.
TEST(Unroll, OpenLoopsAreClosedAtTheEnd) {
  for (int64_t outer = 1; outer < 4; ++outer)
    for (int64_t inner = 1; inner < 4; ++inner) {
      int open = 0;
      for (const StepSpec& step : unroll(nested(), loops({outer, inner, 2})).steps) {
        for (const Injection& injection : step.layer.door) {
          open += injection.kind == Injection::kOpenLoop;
          EXPECT_TRUE(injection.kind != Injection::kLoopInput || open > 0);
        }
        for (const LoopEnd& end : step.ends) open -= end.closes;
        EXPECT_GE(open, 0);
      }
      EXPECT_EQ(open, 0) << outer << " x " << inner;
    }
}

Policy noisy(int64_t count, bool single_pass_adapter = true) {
  Policy policy = loops({count});
  policy.loops[0].noise = 0.5;
  policy.loops[0].single_pass_adapter = single_pass_adapter;
  return policy;
}
Injection opening(const DepthProgram& program) {
  return program.steps.at(0).layer.door.at(0);
}

TEST(Unroll, ALoopOfOneIteration) {
  EXPECT_THAT(doors(unroll(plan_of({{loop_of({{block(0, 8)}})}}), noisy(1))), ElementsAre("open"))
      << "nothing is added to its input";
  const DepthPlan adapted = plan_of({{loop_of({{block(0, 8)}}, 4)}});
  EXPECT_THAT(doors(unroll(adapted, noisy(1, false))), ElementsAre("open"));
  const DepthProgram program = unroll(adapted, noisy(1));
  EXPECT_THAT(doors(program), ElementsAre("open, input"));
  ASSERT_EQ(inputs(program).size(), 1U);
  EXPECT_EQ(inputs(program)[0].instance, 4);
  EXPECT_FALSE(opening(program).plain);
  EXPECT_EQ(opening(program).noise, 0) << "noise is a state, and one iteration has none";
  // Whether the adapter is bypassed is decided by the draw.
  EXPECT_THAT(doors(unroll(adapted, noisy(2, false))), ElementsAre("open, input", "input"));
}

TEST(Unroll, TheAdapterGoesWithEveryInputAndNoiseWithTheOpening) {
  const DepthProgram program = unroll(plan_of({{loop_of({{block(0, 8)}}, 4)}}), noisy(3));
  const std::vector<Injection> all = inputs(program);
  ASSERT_EQ(all.size(), 3U);
  for (int64_t k = 0; k < 3; ++k) {
    EXPECT_EQ(all[size_t(k)].instance, 4);
    EXPECT_EQ(all[size_t(k)].loop, (LoopPlace{0, k}));
  }
  EXPECT_EQ(opening(program).noise, 0.5);
}

// What a step is by the plan does not depend on other loops' counts, and neither do the addresses
// of its random numbers.
TEST(Unroll, AStepKnowsItsPathAndItsPlaceInThePlan) {
  const DepthProgram program = unroll(nested(), loops({2, 1, 3}));
  EXPECT_THAT(each(program, [](const StepSpec& s) { return s.place; }),
              ElementsAre(0, 1, 0, 1, 2, 2, 2));
  EXPECT_THAT(
      each(program, [](const StepSpec& s) { return s.site("out", s.place); }),
      ElementsAre("out.0@0.0", "out.1@0", "out.0@1.0", "out.1@1", "out.2@0", "out.2@1", "out.2@2"));
  EXPECT_EQ(program.steps[2].path, (std::vector<LoopPlace>{{0, 1}, {1, 0}}));
  EXPECT_EQ(unroll(plan_of({{block(0, 8)}})).steps[0].site("out", 0), "out.0");
  DepthPlan plan = nested();
  plan.nodes.push_back({testing::with_readout(block(3, 8), 7)});
  auto& inner = std::get<LoopGroup>(std::get<LoopGroup>(plan.nodes[0].node).body[0].node);
  auto& layer = std::get<LayerSpec>(inner.body[0].node);
  layer = testing::with_readout(layer, 1);
  const DepthProgram answers = unroll(plan, loops({2, 2, 1}));
  EXPECT_EQ(answers.readouts, 5);
  std::vector<std::string> names;
  for (const StepSpec& s : answers.steps)
    if (s.readout >= 0) {
      EXPECT_EQ(s.readout, int(names.size()));
      names.push_back(s.readout_name());
    }
  EXPECT_THAT(names, ElementsAre("1.0.0", "1.0.1", "1.1.0", "1.1.1", "7"));
}

TEST(Unroll, IterationsMayShareTheirPlacesInACache) {
  DepthPlan plan = plan_of({{loop_of({{block(0, 8)}, {block(1, 8)}})}, {block(2, 8)}});
  Policy policy = loops({5});
  policy.loops[0].cached_iterations = 2;
  const DepthProgram program = unroll(plan, policy);
  EXPECT_THAT(each(program, [](const StepSpec& s) { return s.cache_slot; }),
              ElementsAre(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 4));
  EXPECT_EQ(program.cache_slots, 5);
}

// Else what a sequence does would depend on how often the others go round.
TEST(Unroll, ALoopOfOneIterationIsALoopWhereSequencesHaveTheirCounts) {
  Policy policy = noisy(1, false);
  policy.loops[0].counts = {1, 1};
  const DepthProgram program = unroll(plan_of({{loop_of({{block(0, 8)}}, 4)}}), policy);
  EXPECT_THAT(doors(program), ElementsAre("open, input"));
  EXPECT_EQ(opening(program).noise, 0.5);
  EXPECT_FALSE(opening(program).plain);
}

// From its end, where a sequence's place does not depend on the others either.
TEST(Unroll, RandomNumbersOfALoopWithLateEntriesAreAddressedFromItsEnd) {
  const auto sites = [](int64_t count, const std::vector<int64_t>& counts) {
    Policy policy = loops({count, 2});
    policy.loops[0].counts = counts;
    const DepthProgram program = unroll(plan_of({{loop_of({{loop_of({{block(0, 8)}})}})}}), policy);
    std::vector<std::string> out;
    for (const StepSpec& s : program.steps) out.push_back(s.site("out", 0));
    out.push_back(program.steps[0].opening_site(0));
    out.push_back(program.steps[2].opening_site(1));
    return out;
  };
  EXPECT_THAT(sites(2, {}), ElementsAre("out.0@0.0", "out.0@0.1", "out.0@1.0", "out.0@1.1",
                                        "loop.0@0.0", "loop.1@1.0"));
  EXPECT_THAT(sites(2, {1, 2}), ElementsAre("out.0@-2.0", "out.0@-2.1", "out.0@-1.0", "out.0@-1.1",
                                            "loop.0@0.0", "loop.1@-1.0"));
}

// Rows that come later have their first iteration when they come.
TEST(Unroll, WhereSequencesEnterLateTheFirstIterationIsTheirs) {
  Injection once{Injection::kTokenTable, 1};
  once.every_iteration = false;
  Policy policy = loops({3});
  policy.loops[0].counts = {3, 1};
  const DepthProgram program = unroll(plan_of({{loop_of({{block(0, 8, {once})}})}}), policy);
  EXPECT_THAT(doors(program), ElementsAre("open, input, table", "input, table", "input, table"));
  EXPECT_FALSE(program.steps[0].layer.door[2].newcomers_only);
  EXPECT_TRUE(program.steps[1].layer.door[1].newcomers_only);
}

TEST(Unroll, InjectionsOfTheFirstIterationAreThatOnly) {
  Injection once{Injection::kTokenTable, 1}, always{Injection::kWiden};
  once.every_iteration = false;
  const LoopGroup inner = loop_of({{block(0, 8, {once, always})}});
  EXPECT_THAT(doors(unroll(plan_of({{inner}}), loops({2}))),
              ElementsAre("open, input, table, widen", "input, widen"))
      << "a layer's own come after its loop's";
  EXPECT_THAT(doors(unroll(plan_of({{loop_of({{inner}})}}), loops({2, 2}))),
              ElementsAre("open, input, open, input, table, widen", "input, widen",
                          "input, open, input, widen", "input, widen"))
      << "the inner loop's first iteration in the outer one's second is no first";
  EXPECT_THAT(doors(unroll(plan_of({{block(0, 8, {once})}}))), ElementsAre("table"));
}

std::vector<int> cuts(const DepthProgram& program) {
  std::vector<int> out;
  for (const Injection& input : inputs(program)) out.push_back(input.cut_state);
  return out;
}

TEST(Unroll, TruncationKeepsTheLastIterations) {
  const LoopGroup group = loop_of({{block(0, 8)}, {block(1, 8)}});
  const DepthPlan plan = plan_of({{block(2, 8)}, {group}, {block(3, 8)}});
  const auto truncated = [&](int64_t count) {
    Policy policy = loops({count});
    policy.loops[0].backprop_depth = 3;
    return unroll(plan, policy);
  };
  EXPECT_THAT(grads(truncated(4)), ElementsAre(1, 0, 0, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(truncated(4)), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(grads(truncated(5)), ElementsAre(1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(truncated(5)), ElementsAre(0, 0, 1, 0, 0));
  EXPECT_THAT(grads(truncated(3)), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(cuts(truncated(3)), ElementsAre(0, 0, 0));
  EXPECT_THAT(cuts(truncated(1)), ElementsAre());
}

TEST(Unroll, AnInnerLoopHasAGradientWhereBothHaveOne) {
  const LoopGroup inner = loop_of({{block(0, 8)}});
  const LoopGroup outer = loop_of({{inner}, {block(1, 8)}});
  Policy policy = loops({2, 3});
  policy.loops[0].backprop_depth = 1;
  policy.loops[1].backprop_depth = 2;
  const DepthProgram program = unroll(plan_of({{outer}}), policy);
  EXPECT_THAT(order(program), ElementsAre(0, 0, 0, 1, 0, 0, 0, 1));
  EXPECT_THAT(grads(program), ElementsAre(0, 0, 0, 0, 0, 1, 1, 1));
  // Inputs: outer, inner 0..2, twice.
  EXPECT_THAT(cuts(program), ElementsAre(0, 0, 1, 0, 1, 0, 1, 0));
}

}  // namespace
}  // namespace fathom
