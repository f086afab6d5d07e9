// What doors declare, the stem's among them; memory; and sections that change any plan.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/model/spec/architecture.h"
#include "spec/parts.h"

namespace fathom {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

DepthPlan with_stem(std::vector<Injection> door) {
  DepthPlan plan = plan_of({{with_readout(block(0, 8), 0)}});
  plan.stem.door = std::move(door);
  return plan;
}

Injection multiplied(Injection::Kind kind, int instance) {
  Injection injection{kind, instance};
  injection.meeting = Injection::kMultiply;
  return injection;
}

Injection scaled(Injection::Kind kind, double amount) {
  Injection injection{kind};
  injection.amount = amount;
  return injection;
}

TEST(Stem, HasTheTablesThatItNames) {
  const Injection tokens{Injection::kTokenTable, 0}, positions{Injection::kPositionTable, 0};
  const auto tables = [](const DepthPlan& plan) {
    check_plan(plan);
    std::vector<std::string> names;
    for (const ParameterSpec& spec : parameter_table(plan, parts_backbone(), kPartsVocab))
      if (spec.part == Part::kTokenTable || spec.part == Part::kPositionTable)
        names.push_back(spec.name);
    return names;
  };
  EXPECT_THAT(tables(plan_of({{with_readout(block(0, 8), 0)}})),
              ElementsAre("token_table.0.weight", "position_table.weight"));
  EXPECT_THAT(tables(with_stem({tokens})), ElementsAre("token_table.0.weight"));
  EXPECT_THAT(tables(with_stem({positions, tokens})),
              ElementsAre("position_table.weight", "token_table.0.weight"));
  // Positions again at each layer: the same table, or one more.
  DepthPlan again = plan_of({{block(0, 8, {positions})},
                             {with_readout(block(1, 8, {{Injection::kPositionTable, 2}}), 1)}});
  EXPECT_THAT(tables(again), ElementsAre("token_table.0.weight", "position_table.weight",
                                         "position_table.2.weight"));
}

TEST(Stem, RowsThatMultiplyBeginAsOne) {
  const DepthPlan plan =
      with_stem({{Injection::kTokenTable, 0}, multiplied(Injection::kPositionTable, 0)});
  check_plan(plan);
  for (const ParameterSpec& spec : parameter_table(plan, parts_backbone(), kPartsVocab))
    if (spec.part == Part::kPositionTable) {
      EXPECT_EQ(spec.init.kind, InitRule::kOnes);
    }
}

TEST(Stem, ItsNormIsAPart) {
  Injection norm{Injection::kNorm};
  norm.norm.index = 3;
  EXPECT_EQ(shapes(with_stem({{Injection::kTokenTable, 0}, norm}), "norm_door.3."),
            (Shapes{{"weight", {8}}}));
  norm.norm.eps = 2;
  EXPECT_THAT(refused(with_stem({{Injection::kTokenTable, 0}, norm})), HasSubstr("norm_door.3"));
}

TEST(Stem, WithoutAMeaningIsRefused) {
  const Injection tokens{Injection::kTokenTable, 0};
  EXPECT_THAT(refused(with_stem({})), HasSubstr("table"));
  EXPECT_THAT(refused(with_stem({scaled(Injection::kScale, 2), tokens})), HasSubstr("table"));
  EXPECT_THAT(refused(with_stem({tokens, {Injection::kWiden}})), HasSubstr("stem"));
  EXPECT_THAT(refused(with_stem({tokens, {Injection::kOpenLoop}})), HasSubstr("stem"));
  EXPECT_THAT(refused(with_stem({tokens, {Injection::kPositionTable}})), HasSubstr("which"));
  for (const Injection::Kind kind : {Injection::kScale, Injection::kNoise})
    for (const double amount : {0.0, std::nan("")})
      EXPECT_THAT(refused(with_stem({tokens, scaled(kind, amount)})), HasSubstr("by"));
}

// What comes before a kWiden meets the narrow stream.
TEST(Doors, AnInjectionIsAsWideAsTheStreamThatItMeets) {
  LayerSpec wide = with_readout(block(1, 8), 0);
  wide.width_in = 4;
  wide.door = {{Injection::kTokenTable, 1},
               {Injection::kGate, 2},
               {Injection::kWiden},
               {Injection::kGate, 3},
               {Injection::kTokenTable, 4}};
  const DepthPlan plan = plan_of({{block(0, 4)}, {wide}}, 4);
  check_plan(plan);
  EXPECT_EQ(shapes(plan, "token_table.1.").at("weight"), Shape({10, 4}));
  EXPECT_EQ(shapes(plan, "gate.2.").at("weight"), Shape({1, 4}));
  EXPECT_EQ(shapes(plan, "gate.3.").at("weight"), Shape({1, 8}));
  EXPECT_EQ(shapes(plan, "token_table.4.").at("weight"), Shape({10, 8}));
  EXPECT_EQ(flops_of(plan).doors, 2.0 * 4 + 2 * 8);
}

// ---- Memory, and sections

TEST(TrainingMemory, IsTheSumOfItsParts) {
  ModelConfig config;
  config.backbone = parts_backbone();
  const double B = 3, T = 6, C = 8, H = 2, L = 2, V = kPartsVocab;
  EXPECT_EQ(training_memory(config, kPartsVocab, 3, 6).activations,
            4 * B * T * (L * (20 * C + 2 * H * T) + 3 * V + 2 * C));
  // A part that a wiring calls twice is kept twice, and one that it leaves out not at all.
  const auto plan_change = std::make_shared<Architecture>();
  plan_change->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy&) {
    using namespace wire;
    plan.wirings = {{{{"r", name("r") + mlp(name("n")) + mlp(name("r"))}}}};
    each_layer(plan, [](LayerSpec& layer) {
      layer.attention.clear();
      layer.norm.clear();
    });
  };
  config.architecture = plan_change;
  EXPECT_EQ(training_memory(config, kPartsVocab, 3, 6).activations,
            4 * B * T * (L * (2 * C + 2 * 8 * C) + 3 * V + 2 * C));
}

// An experiment says what a pass does with its plan, and what makes no sense is refused.
TEST(Sections, AnExperimentChangesThePolicyToo) {
  ModelConfig config;
  config.backbone = parts_backbone();
  config.halting.rule = HaltRule::kMax;
  const auto change = std::make_shared<Architecture>();
  KeyFate fate = KeyFate::kFrozen;
  change->change_plan = [&fate](const ModelConfig&, DepthPlan&, Policy& policy) {
    EXPECT_TRUE(policy.halting.halts());
    policy.halting.keys = fate;
  };
  config.architecture = change;
  EXPECT_EQ(make_policy(config).halting.keys, KeyFate::kFrozen);
  config.halting.mask_history = MaskHistory::kPrevious;
  EXPECT_THROW(make_policy(config), Error);
  fate = KeyFate::kHidden;
  EXPECT_EQ(make_policy(config).halting.history, MaskHistory::kPrevious);
  // Whether rows halt is a setting, which more than the walk asks; and there are no loops here.
  change->change_plan = [](const ModelConfig&, DepthPlan&, Policy& policy) {
    policy.halting.config.rule = HaltRule::kNone;
  };
  EXPECT_THROW(make_policy(config), Error);
  change->change_plan = [](const ModelConfig&, DepthPlan&, Policy& policy) {
    policy.loops.emplace_back();
  };
  EXPECT_THROW(make_policy(config), Error);
}

// A section acts on whatever plan there is, as an experiment's change does.
TEST(Sections, ChangeAnyPlan) {
  DepthPlan plan = plan_of({{loop_of({{block(0, 8)}, {block(1, 8)}}, 2)}, {block(2, 8)}});
  each_layer(plan, [i = 0](LayerSpec& layer) mutable { layer.number = i++; });
  EarlyExitConfig exits;
  exits.layer_tables = exits.layer_heads = exits.detach_between_layers = true;
  exits.layer_contexts = {1, 2, 3};
  SupervisionConfig all;
  all.layer_supervision = {"all", {}};
  Policy policy;
  apply(all, plan, policy);
  apply(exits, plan, policy);
  int64_t i = 0;
  each_layer(plan, [&](const LayerSpec& layer) {
    EXPECT_EQ(layer.door.size(), i > 0 ? 1U : 0U);
    EXPECT_EQ(layer.context, i + 1);
    EXPECT_EQ(layer.readout->head, i);
    EXPECT_EQ(layer.readout->norm.index, i);
    EXPECT_EQ(layer.cut, i > 0);
    EXPECT_EQ(layer.width, 8);
    ++i;
  });
  EXPECT_EQ(i, 3);
  HaltingConfig halting;
  DepthPlan silent = plan_of({{block(0, 8)}, {block(1, 8)}});
  apply(halting, silent, policy);
  each_layer(silent, [](const LayerSpec& layer) { EXPECT_FALSE(layer.readout); });
  EXPECT_FALSE(policy.halting.halts());
  halting.rule = HaltRule::kMax;
  apply(halting, silent, policy);
  each_layer(silent, [](const LayerSpec& layer) { EXPECT_TRUE(layer.readout); });
  EXPECT_TRUE(policy.halting.halts());
}

}  // namespace
}  // namespace fathom
