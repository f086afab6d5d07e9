// The keys of automatic loop exit: what they make of a plan and a policy, and what is refused.
#include "fathom/model/spec/loop_halting_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_testing.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/flops_counter.h"
#include "fathom/model/spec/parameter_table.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using testing::block;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::loop_of;
using testing::loops;
using testing::plan_of;
using testing::refusal_of;
using testing::with_readout;

// A loop, a loop in it, and one behind them; the last layer answers.
DepthPlan three_loops() {
  const PlanNode inner = {loop_of({{block(1, 8)}})};
  return plan_of({{loop_of({{block(0, 8)}, inner})},
                  {loop_of({{block(2, 8)}})},
                  {with_readout(block(3, 8), 3)}});
}

using LoopKeys = std::vector<std::pair<const char*, const char*>>;

LoopHaltingConfig loop_keys(const LoopKeys& given) {
  LoopHaltingConfig config;
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : given) list.set_text(key, text, "the test");
  validate(config);
  return config;
}

Policy loop_policy_of(const LoopKeys& given, const std::vector<size_t>& written = {}) {
  DepthPlan plan = three_loops();
  Policy policy = loops({4, 3, 2});
  apply(loop_keys(given), plan, policy, written);
  unroll(plan, policy);
  return policy;
}

std::vector<double> loop_thresholds(const Policy& policy) {
  std::vector<double> out;
  for (const LoopPolicy& loop : policy.loops) out.push_back(loop.halting.config.threshold.value());
  return out;
}

TEST(LoopHalting, RulesHaveThresholdsOfTheirOwn) {
  const std::vector<std::tuple<const char*, HaltRule, double>> rules = {
      {"rel_latent", HaltRule::kLatentChange, 0.03},
      {"state_change", HaltRule::kStateChange, 0.01},
      {"step_norm_diff", HaltRule::kStepNormDiff, 0.01},
      {"acceleration", HaltRule::kAcceleration, 0.01},
      {"kl", HaltRule::kKl, 1e-3},
      {"kl_min_p", HaltRule::kKlMinP, 1e-5},
      {"kl_diff", HaltRule::kKlDiff, 1e-3},
      {"kl_div_diff", HaltRule::kKlDiff, 1e-3},
      {"entropy", HaltRule::kEntropy, 1e-3},
      {"argmax", HaltRule::kArgmax, 5},
      {"max", HaltRule::kMax, 0.9},
      {"learned", HaltRule::kLearned, 0.5}};
  for (const auto& [name, rule, threshold] : rules) {
    const Policy policy = loop_policy_of({{"loop_halt_rule", name}, {"loop_halt_gate", "true"}});
    ASSERT_EQ(policy.loops.size(), 3U);
    for (const LoopPolicy& loop : policy.loops) {
      EXPECT_EQ(loop.halting.config.rule, rule);
      EXPECT_EQ(loop.halting.config.threshold, threshold) << name;
      EXPECT_EQ(loop.halting.keys, KeyFate::kFrozen);
      EXPECT_FALSE(loop.halting.in_training);
      EXPECT_EQ(loop.halting.unit, HaltUnit::kToken);
    }
    EXPECT_FALSE(policy.halting.halts()) << "the walk has a rule of its own";
    EXPECT_THAT(policy.loops,
                ElementsAre(Field(&LoopPolicy::count, 4), Field(&LoopPolicy::count, 3),
                            Field(&LoopPolicy::count, 2)));
  }
}

TEST(LoopHalting, ThresholdsAreOfAllGroupsOrOfEach) {
  const auto with = [](const char* text) {
    return LoopKeys{{"loop_halt_rule", "kl"}, {"loop_halt_threshold", text}};
  };
  EXPECT_THAT(loop_thresholds(loop_policy_of(with("0.2"))), ElementsAre(0.2, 0.2, 0.2));
  EXPECT_THAT(loop_thresholds(loop_policy_of(with("[0.2, 0.3, 0.4]"))), ElementsAre(0.2, 0.3, 0.4));
  EXPECT_THAT(loop_thresholds(loop_policy_of(with("None"))), ElementsAre(1e-3, 1e-3, 1e-3));
  // As the groups are written.
  EXPECT_THAT(loop_thresholds(loop_policy_of(with("[0.2, 0.3, 0.4]"), {1, 2, 0})),
              ElementsAre(0.3, 0.4, 0.2));
  const Error e = refusal_of([&] { loop_policy_of(with("[0.2, 0.3]")); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("loop_halt_threshold = [0.2, 0.3] has 2 entries"));
  EXPECT_THAT(e.what(), HasSubstr("loop_groups has 3"));
}

TEST(LoopHalting, IsTurnedOnAndOffByTheNotebooksKey) {
  const auto rule = [](const LoopKeys& given) { return loop_keys(given).acting_rule(); };
  EXPECT_EQ(rule({}), HaltRule::kNone);
  EXPECT_EQ(rule({{"automatic_loop_exit", "true"}}), HaltRule::kLatentChange);
  EXPECT_EQ(rule({{"automatic_loop_exit", "true"}, {"automatic_loop_exit_mode", "kl"}}),
            HaltRule::kKl);
  EXPECT_EQ(rule({{"automatic_loop_exit_mode", "kl"}}), HaltRule::kKl);
  EXPECT_EQ(rule({{"automatic_loop_exit", "false"}, {"automatic_loop_exit_mode", "kl"}}),
            HaltRule::kNone);
  EXPECT_EQ(loop_keys({{"automatic_loop_exit_threshold", "0.25"}}).threshold.at(2, 7), 0.25);
}

TEST(LoopHalting, OtherKeysOfAPass) {
  const Policy policy = loop_policy_of({{"loop_halt_rule", "max"},
                                        {"loop_halt_unit", "sequence"},
                                        {"loop_cache", "2"},
                                        {"loop_stop_probability", "0.25"},
                                        {"loop_halt_gate", "true"},
                                        {"loop_gate_entropy", "0.5"}});
  for (const LoopPolicy& loop : policy.loops) {
    EXPECT_EQ(loop.halting.unit, HaltUnit::kSequence);
    EXPECT_EQ(loop.cached_iterations, 2);
    EXPECT_EQ(loop.stop_probability, 0.25);
    EXPECT_EQ(loop.gate_entropy, 0.5);
  }
  const Error e = refusal_of([&] { refuse_sequences(policy); });
  EXPECT_THAT(e.what(), HasSubstr("loop_halt_unit = sequence"));
  EXPECT_NO_THROW(refuse_sequences(loop_policy_of({{"loop_halt_rule", "max"}})));
  // A section that is off changes nothing.
  DepthPlan plan = three_loops();
  Policy own = loops({4, 3, 2});
  own.loops[1].halting.config.rule = HaltRule::kMax;
  own.loops[2].cached_iterations = 3;
  apply(loop_keys({{"loop_halt_threshold", "0.5"}}), plan, own);
  EXPECT_EQ(own.loops[1].halting.config.rule, HaltRule::kMax);
  EXPECT_EQ(own.loops[2].cached_iterations, 3);
  apply(loop_keys({{"loop_stop_probability", "0.5"}}), plan, own);
  EXPECT_EQ(own.loops[1].halting.config.rule, HaltRule::kMax);
  EXPECT_EQ(own.loops[1].halting.keys, KeyFate::kFrozen);
  EXPECT_EQ(own.loops[2].cached_iterations, 3);
}

TEST(LoopHalting, WhatHasNoMeaningIsRefused) {
  struct Case {
    LoopKeys given;
    std::vector<const char*> said;
  };
  const std::vector<Case> cases = {
      {{{"loop_halt_rule", "learned"}}, {"loop_halt_rule = learned", "loop_halt_gate = false"}},
      {{{"loop_halt_rule", "argmax"}, {"loop_halt_threshold", "0"}},
       {"loop_halt_threshold = 0", "loop_halt_rule = argmax"}},
      {{{"loop_halt_rule", "argmax"}, {"loop_halt_threshold", "[3, 2.5, 3]"}}, {"2.5", "argmax"}},
      {{{"loop_halt_threshold", "-0.1"}}, {"loop_halt_threshold", "0 <= loop_halt_threshold"}},
      {{{"loop_halt_threshold", "[0.1, -1]"}}, {"0 <= loop_halt_threshold"}},
      {{{"loop_halt_threshold", "high"}}, {"loop_halt_threshold", "float, list of float or None"}},
      {{{"loop_halt_rule", "kll"}}, {"loop_halt_rule", "did you mean kl?"}},
      {{{"loop_cache", "-1"}}, {"0 <= loop_cache"}},
      {{{"loop_stop_probability", "1"}}, {"loop_stop_probability < 1"}},
      {{{"loop_gate_entropy", "-1"}}, {"0 <= loop_gate_entropy"}},
  };
  for (const Case& c : cases) {
    const Error e = refusal_of([&] { loop_keys(c.given); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    for (const char* part : c.said) EXPECT_THAT(e.what(), HasSubstr(part));
  }
  // Without a loop.
  for (const auto& [given, said] : std::vector<std::pair<LoopKeys, const char*>>{
           {{{"loop_halt_rule", "kl"}}, "loop_halt_rule = kl"},
           {{{"automatic_loop_exit", "true"}}, "automatic_loop_exit = true"},
           {{{"loop_cache", "2"}}, "loop_cache = 2"},
           {{{"loop_halt_gate", "true"}}, "loop_halt_gate = true"},
           {{{"loop_stop_probability", "0.5"}}, "loop_stop_probability = 0.5"}}) {
    DepthPlan plan = plan_of({{with_readout(block(0, 8), 0)}});
    Policy policy;
    const LoopHaltingConfig config = loop_keys(given);
    const Error e = refusal_of([&] { apply(config, plan, policy); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr(said));
    EXPECT_THAT(e.what(), HasSubstr("loop_groups = []"));
  }
}

TEST(LoopHalting, ThresholdsThatDecideNothingAreTold) {
  const auto told = [](const LoopKeys& given) { return remarks(loop_keys(given)); };
  EXPECT_THAT(told({{"loop_halt_threshold", "0"}}), IsEmpty());
  EXPECT_THAT(told({{"loop_halt_rule", "kl"}, {"loop_halt_threshold", "0"}}),
              ElementsAre(HasSubstr("never met")));
  EXPECT_THAT(told({{"loop_halt_rule", "max"}, {"loop_halt_threshold", "[0.5, 1.5, 0]"}}),
              ElementsAre(HasSubstr("1.5 is never met"), HasSubstr("0 is always met")));
  EXPECT_THAT(told({{"loop_halt_rule", "kl"}, {"loop_halt_threshold", "7"}}), IsEmpty());
}

// A gate is a part of the model, whatever rule a pass goes by.
TEST(LoopHalting, AGateIsAParameterOfItsGroup) {
  BackboneConfig backbone;
  backbone.n_head = 2, backbone.n_embd = 8, backbone.tie_head = false;
  const auto names = [&](const LoopKeys& given) {
    DepthPlan plan = three_loops();
    Policy policy = loops({4, 3, 2});
    apply(loop_keys(given), plan, policy);
    check_plan(plan);
    std::vector<std::string> out;
    for (const ParameterSpec& spec : parameter_table(plan, backbone, 16))
      if (spec.name.rfind("halting_gate", 0) == 0) {
        out.push_back(spec.name);
        EXPECT_EQ(spec.count(), spec.shape.size() == 2 ? 8 : 1);
        EXPECT_EQ(spec.init.kind, InitRule::kZeros);
      }
    return out;
  };
  EXPECT_THAT(names({{"loop_halt_rule", "kl"}}), IsEmpty());
  for (const char* rule : {"none", "kl", "learned"})
    EXPECT_THAT(names({{"loop_halt_gate", "true"}, {"loop_halt_rule", rule}}),
                ElementsAre("halting_gate.0.weight", "halting_gate.0.bias", "halting_gate.1.weight",
                            "halting_gate.1.bias", "halting_gate.2.weight", "halting_gate.2.bias"));
}

// What reads a loop's state: its last layer's readout, or the plan's.
TEST(LoopEnds, AreReadByTheNearestReadout) {
  const auto end_of = [](const DepthPlan& plan) {
    return unroll(plan, loops({2})).steps.front().ends.front();
  };
  const LoopEnd own = end_of(
      plan_of({{loop_of({{with_readout(block(0, 8), 0, 1)}})}, {with_readout(block(1, 8), 1, 2)}}));
  EXPECT_TRUE(own.reads);
  EXPECT_EQ(own.readout.head, 1);
  const LoopEnd last =
      end_of(plan_of({{loop_of({{block(0, 8)}})}, {with_readout(block(1, 8), 1, 2)}}));
  EXPECT_TRUE(last.reads);
  EXPECT_EQ(last.readout.head, 2);
  // No layer of its width answers.
  LayerSpec wide = with_readout(block(1, 16, {{Injection::kWiden}}), 1);
  wide.width_in = 8;
  const DepthPlan widening = plan_of({{loop_of({{block(0, 8)}})}, {wide}});
  EXPECT_FALSE(end_of(widening).reads);
  Policy policy = loops({2});
  for (const HaltRule rule : {HaltRule::kKl, HaltRule::kMax, HaltRule::kArgmax}) {
    policy.loops[0].halting.config.rule = rule;
    EXPECT_THAT(refusal_of([&] { unroll(widening, policy); }).what(),
                HasSubstr("no layer of its width answers"));
  }
  policy.loops[0].halting.config.rule = HaltRule::kLatentChange;
  EXPECT_NO_THROW(unroll(widening, policy));
  policy.loops[0].halting.config.rule = HaltRule::kLearned;
  EXPECT_THAT(refusal_of([&] { unroll(widening, policy); }).what(), HasSubstr("loop_halt_rule"));
  // A gate learns by what the state answers, whatever rule there is.
  DepthPlan gated = widening;
  std::get<LoopGroup>(gated.nodes.front().node).halting_gate.instance = 0;
  EXPECT_THAT(refusal_of([&] { unroll(gated, loops({2})); }).what(),
              HasSubstr("loop_halt_gate = true"));
}

TEST(LoopEnds, CostAHeadForEachStateThatIsRead) {
  BackboneConfig backbone;
  backbone.n_head = 2, backbone.n_embd = 8, backbone.tie_head = false;
  const DepthPlan plan = plan_of({{loop_of({{block(0, 8)}})}, {with_readout(block(1, 8), 1)}});
  const FlopsCounter counter(plan, unroll(plan, loops({2})), backbone, 16);
  StepWork work;
  work.judged = 3;
  for (const bool gradients : {false, true})
    EXPECT_EQ(counter.of(0, {work}, gradients), 3 * 2 * 8 * 16) << "nothing learns from it";
}

// What a policy must not say.
TEST(LoopHalting, OfAWalkAndOfLoopsAreNotTheSame) {
  const DepthPlan plan = three_loops();
  Policy policy = loops({2, 2, 2});
  policy.halting.config.rule = HaltRule::kStepNormDiff;
  EXPECT_THAT(refusal_of([&] { unroll(plan, policy); }).what(), HasSubstr("rule of loops"));
  policy.halting.config.rule = HaltRule::kNone;
  policy.loops[1].halting.config.rule = HaltRule::kGold;
  EXPECT_THAT(refusal_of([&] { unroll(plan, policy); }).what(), HasSubstr("the loop of layer 1"));
  policy.loops[1].halting.config.rule = HaltRule::kNone;
  policy.loops[2].stop_probability = 1;
  EXPECT_THAT(refusal_of([&] { unroll(plan, policy); }).what(), HasSubstr("probability of 1"));
}

// An experiment's own loops have the same keys.
TEST(LoopHalting, ActsOnAnExperimentsLoops) {
  ModelConfig config;
  config.backbone.n_layer = 2, config.backbone.n_head = 2, config.backbone.n_embd = 8;
  const auto change = std::make_shared<Architecture>();
  change->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy& policy) {
    LoopGroup loop;
    loop.body = {plan.nodes.front()};
    plan.nodes.front() = {loop};
    policy.loops.emplace_back();
    policy.loops[0].count = 5;
  };
  config.architecture = change;
  EXPECT_FALSE(make_policy(config).loops.at(0).halting.halts());
  config.loop_halting.rule = HaltRule::kKl;
  EXPECT_EQ(make_policy(config).loops.at(0).halting.config.rule, HaltRule::kKl);
  EXPECT_EQ(make_policy(config).loops.at(0).count, 5);
  config.architecture = nullptr;
  EXPECT_THROW(make_policy(config), Error);
}

}  // namespace
}  // namespace fathom
