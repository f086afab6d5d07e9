// From the sections of a configuration to a plan, and plans that do not hold together.
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/model/spec/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_testing.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::block;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::loop_of;
using testing::plan_of;
using testing::refusal_of;
using testing::with_readout;
using Kind = Injection::Kind;

ModelConfig four_layers() {
  ModelConfig config;
  config.backbone.n_layer = 4;
  config.backbone.n_head = 2;
  config.backbone.n_embd = 16;
  config.backbone.block_size = 32;
  return config;
}

std::vector<LayerSpec> layers_of(const ModelConfig& config) {
  validate(config);
  std::vector<LayerSpec> layers;
  for (const PlanNode& node : make_depth_plan(config).nodes)
    layers.push_back(std::get<LayerSpec>(node.node));
  return layers;
}

std::vector<Kind> kinds(const std::vector<Injection>& door) {
  std::vector<Kind> out;
  for (const Injection& injection : door) out.push_back(injection.kind);
  return out;
}

// Layers with a readout, and the heads that they read with.
std::vector<int> readouts(const ModelConfig& config) {
  std::vector<int> numbers;
  for (const LayerSpec& layer : layers_of(config))
    if (layer.readout) numbers.push_back(layer.readout->layer);
  return numbers;
}
std::vector<int> heads(const ModelConfig& config) {
  std::vector<int> numbers;
  for (const LayerSpec& layer : layers_of(config))
    if (layer.readout) numbers.push_back(layer.readout->head);
  return numbers;
}

TEST(MakeDepthPlan, PlainIsGpt2) {
  const ModelConfig config = four_layers();
  const DepthPlan plan = make_depth_plan(config);
  EXPECT_EQ(plan.stem.width, 16);
  EXPECT_THAT(kinds(plan.stem.door), ElementsAre(Kind::kTokenTable, Kind::kPositionTable));
  for (const Injection& table : plan.stem.door) EXPECT_EQ(table.instance, 0);
  EXPECT_TRUE(plan.tied_heads);
  ASSERT_EQ(plan.wirings.size(), 1U);
  EXPECT_EQ(to_text(plan.wirings[0]), to_text(pre_norm_wiring()));
  EXPECT_FALSE(make_policy(config).halting.halts());
  const std::vector<LayerSpec> layers = layers_of(config);
  ASSERT_EQ(layers.size(), 4U);
  for (int i = 0; i < 4; ++i) {
    const LayerSpec& layer = layers[size_t(i)];
    EXPECT_EQ(layer.width_in, 16);
    EXPECT_EQ(layer.width, 16);
    EXPECT_EQ(layer.wiring, 0);
    ASSERT_EQ(layer.attention.size(), 1U);
    EXPECT_EQ(layer.attention[0].instance, i);
    ASSERT_EQ(layer.mlp.size(), 1U);
    EXPECT_EQ(layer.mlp[0].instance, i);
    ASSERT_EQ(layer.norm.size(), 1U);
    EXPECT_EQ(layer.norm[0].name(), "norm_mid." + std::to_string(i));
    EXPECT_EQ(layer.norm_in.name(), "norm_in." + std::to_string(i));
    EXPECT_THAT(layer.door, IsEmpty());
    EXPECT_FALSE(layer.context);
    EXPECT_FALSE(layer.cut);
  }
  EXPECT_THAT(readouts(config), ElementsAre(3));
  EXPECT_THAT(heads(config), ElementsAre(0));
  EXPECT_EQ(layers[3].readout->norm.name(), "norm_out.0");
}

TEST(MakeDepthPlan, ReadoutsAreWhereALayerIsTrainedOrMayAnswer) {
  ModelConfig config = four_layers();
  config.supervision.layer_supervision = {"all", {}};
  EXPECT_THAT(readouts(config), ElementsAre(0, 1, 2, 3));
  config.supervision.layer_supervision = {"", {0, 0.5, 0, 1}};
  EXPECT_THAT(readouts(config), ElementsAre(1, 3));
  config.supervision.layer_supervision = {"", {1, 0, 0, 0}};
  EXPECT_THAT(readouts(config), ElementsAre(0, 3)) << "the last layer always answers";
  config.supervision.layer_supervision = {"last", {}};
  for (const HaltRule rule : {HaltRule::kMax, HaltRule::kGold}) {
    config.halting.rule = rule;
    EXPECT_THAT(readouts(config), ElementsAre(0, 1, 2, 3));
  }
}

TEST(MakeDepthPlan, HeadsAreSharedUnlessLayersHaveTheirOwn) {
  ModelConfig config = four_layers();
  config.backbone.tie_head = false;
  config.supervision.layer_supervision = {"all", {}};
  EXPECT_THAT(heads(config), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(layers_of(config)[2].readout->norm.name(), "norm_out.0");
  config.early_exit.layer_heads = true;
  EXPECT_THAT(heads(config), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(layers_of(config)[2].readout->norm.name(), "norm_out.2");
  config.supervision.layer_supervision = {"last", {}};
  EXPECT_THAT(heads(config), ElementsAre(3));
  EXPECT_FALSE(make_depth_plan(config).tied_heads);
}

TEST(MakeDepthPlan, WidthsGrowAtTheDoor) {
  ModelConfig config = four_layers();
  config.backbone.tie_head = false;
  config.early_exit.layer_heads = true;
  config.early_exit.layer_widths = {4, 4, 10, 16};
  EXPECT_EQ(make_depth_plan(config).stem.width, 4);
  const std::vector<LayerSpec> layers = layers_of(config);
  const std::vector<std::pair<int64_t, int64_t>> widths = {{4, 4}, {4, 4}, {4, 10}, {10, 16}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(layers[i].width_in, widths[i].first) << i;
    EXPECT_EQ(layers[i].width, widths[i].second) << i;
    const bool grows = widths[i].first != widths[i].second;
    EXPECT_EQ(kinds(layers[i].door), grows ? std::vector<Kind>{Kind::kWiden} : std::vector<Kind>())
        << i;
  }
}

TEST(MakeDepthPlan, TablesAndGatesAreAtEveryDoorButTheFirst) {
  ModelConfig config = four_layers();
  config.backbone.tie_head = false;
  config.early_exit.layer_tables = true;
  for (size_t i = 0; i < 4; ++i) {
    const std::vector<Injection> door = layers_of(config)[i].door;
    ASSERT_EQ(kinds(door), i == 0 ? std::vector<Kind>() : std::vector<Kind>{Kind::kTokenTable});
    for (const Injection& injection : door) {
      EXPECT_EQ(injection.instance, int(i));
      EXPECT_TRUE(injection.every_iteration);
    }
  }
  config.early_exit.gate_mode = GateMode::kLearned;
  config.early_exit.layer_widths = {4, 8, 8, 16};
  const std::vector<LayerSpec> layers = layers_of(config);
  EXPECT_THAT(layers[0].door, IsEmpty());
  // The gate looks at the stream as the layer before left it.
  EXPECT_THAT(kinds(layers[1].door), ElementsAre(Kind::kGate, Kind::kWiden, Kind::kTokenTable));
  EXPECT_THAT(kinds(layers[2].door), ElementsAre(Kind::kGate, Kind::kTokenTable));
  EXPECT_THAT(kinds(layers[3].door), ElementsAre(Kind::kGate, Kind::kWiden, Kind::kTokenTable));
  for (size_t i = 1; i < 4; ++i) EXPECT_EQ(layers[i].door[0].instance, int(i));
}

TEST(MakeDepthPlan, ContextsAndCuts) {
  ModelConfig config = four_layers();
  config.early_exit.layer_contexts = {0, 3, 32, 7};
  config.early_exit.detach_between_layers = true;
  const std::vector<LayerSpec> layers = layers_of(config);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(layers[i].context, config.early_exit.layer_contexts[i]);
    EXPECT_EQ(layers[i].cut, i > 0) << "there is nothing to cut before the first layer";
  }
}

TEST(MakeDepthPlan, HaltingHidesATokenFromItselfUnlessThatWouldTellTheLabel) {
  ModelConfig config = four_layers();
  const auto mask_self = [&](HaltRule rule, std::optional<bool> given) {
    config.halting.rule = rule;
    config.halting.mask_self = given;
    return make_policy(config).halting.mask_self;
  };
  EXPECT_TRUE(mask_self(HaltRule::kMax, {}));
  EXPECT_FALSE(mask_self(HaltRule::kGold, {}));
  for (const HaltRule rule : {HaltRule::kMax, HaltRule::kGold})
    for (const bool given : {false, true}) EXPECT_EQ(mask_self(rule, given), given);
  for (const MaskHistory history : {MaskHistory::kPrevious, MaskHistory::kCumulative}) {
    config.halting.mask_history = history;
    EXPECT_EQ(make_policy(config).halting.history, history);
  }
  config.halting.thresholds = {0.1, 0.2, 0.3, 0.4};
  EXPECT_EQ(make_policy(config).halting.config.threshold_at(2), 0.3);
  EXPECT_EQ(make_policy(config).halting.keys, KeyFate::kHidden);
}

TEST(CheckPlan, TakesWhatConfigurationsMakeAndPlansByHand) {
  EXPECT_NO_THROW(check_plan(make_depth_plan(four_layers())));
  EXPECT_NO_THROW(
      check_plan(plan_of({{loop_of({{block(0, 8)}})}, {with_readout(block(1, 8), 1)}})));
}

std::string refused(const DepthPlan& plan) {
  const Error e = refusal_of([&] { check_plan(plan); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_FALSE(e.hint().empty()) << e.what();
  return e.what();
}

TEST(CheckPlan, ALayerHasExactlyThePartsThatItsWiringCalls) {
  LayerSpec two_attentions = block(0, 8), no_mlp = block(0, 8), two_norms = block(0, 8);
  two_attentions.attention = {0, 1};
  no_mlp.mlp = {};
  two_norms.norm.push_back({NormId::kMid, 1});
  EXPECT_THAT(refused(plan_of({{two_attentions}})), HasSubstr("2 attentions"));
  EXPECT_THAT(refused(plan_of({{no_mlp}})), HasSubstr("0 MLPs"));
  EXPECT_THAT(refused(plan_of({{two_norms}})), HasSubstr("2 norms"));
  const LoopGroup inner = loop_of({{no_mlp}});
  EXPECT_THAT(refused(plan_of({{loop_of({{block(1, 8)}, {inner}})}})), HasSubstr("0 MLPs"))
      << "at any depth of nesting";
}

TEST(CheckPlan, PartsAreComparedWithTheLayersOwnWiring) {
  DepthPlan plan = plan_of({{block(0, 8)}, {with_readout(block(1, 8), 1)}});
  using namespace wire;
  plan.wirings.push_back({{{"r", name("r") + mlp(name("n"))}}});
  auto& second = std::get<LayerSpec>(plan.nodes[1].node);
  second.wiring = 1;
  EXPECT_THAT(refused(plan), AllOf(HasSubstr("1 attentions"), HasSubstr("0, 1 and 0")));
  second.attention = {};
  second.norm = {};
  EXPECT_NO_THROW(check_plan(plan));
}

TEST(CheckPlan, LayersMeetAndTheLastOneAnswers) {
  EXPECT_THAT(refused(plan_of({{block(0, 8)}})), HasSubstr("no readout"));
  DepthPlan headless = plan_of({{block(0, 8)}});
  headless.answers = "how long the text is";
  EXPECT_NO_THROW(check_plan(headless)) << "it says what else it answers";
  EXPECT_THAT(refused(plan_of({})), HasSubstr("no layers"));
  EXPECT_THAT(refused(plan_of({{loop_of({})}, {with_readout(block(0, 8), 0)}})),
              HasSubstr("no layers"));
  EXPECT_THAT(refused(plan_of({{block(0, 8)}, {with_readout(block(1, 16), 1)}})),
              HasSubstr("16 channels"));
  LayerSpec astray = with_readout(block(0, 8), 0);
  astray.wiring = 3;
  EXPECT_THAT(refused(plan_of({{astray}})), HasSubstr("wiring 3"));
}

TEST(CheckPlan, EveryWiringIsCheckedUsedOrNot) {
  DepthPlan plan = plan_of({{block(0, 8)}});
  plan.wirings.push_back({{{"t", wire::name("n")}}});
  EXPECT_THAT(refused(plan), HasSubstr("t = n"));
}

TEST(CheckPolicy, RefusesWhatHasNoMeaning) {
  const DepthPlan plan = plan_of({{loop_of({{block(0, 8)}})}});
  const auto refused = [&](auto change) {
    Policy policy = testing::loops({3});
    change(policy);
    const Error e = refusal_of([&] { check_policy(policy, plan); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_FALSE(e.hint().empty()) << e.what();
    return std::string(e.what());
  };
  EXPECT_THAT(refused([](Policy& p) { p.loops[0].count = 0; }), HasSubstr("0 times"));
  EXPECT_THAT(refused([](Policy& p) {
                p.loops[0].counts = {1, 4};
              }),
              HasSubstr("cannot run 4 times for a sequence and 3 times for others"));
  EXPECT_THAT(refused([](Policy& p) { p.loops[0].counts = {0, 3}; }), HasSubstr("cannot run 0"));
  EXPECT_THAT(refused([](Policy& p) {
                p.halting.history = MaskHistory::kPrevious;
                p.halting.keys = KeyFate::kFrozen;
              }),
              HasSubstr("mask_history = previous"));
  for (const HaltRule rule :
       {HaltRule::kKlDiff, HaltRule::kKlMinP, HaltRule::kEntropy, HaltRule::kLearned})
    EXPECT_THAT(refused([&](Policy& p) { p.halting.config.rule = rule; }),
                HasSubstr("the walk halts by a rule of loops"));
  for (const HaltRule rule : {HaltRule::kMargin, HaltRule::kBernoulli, HaltRule::kFixed})
    EXPECT_THAT(refused([&](Policy& p) { p.loops[0].halting.config.rule = rule; }),
                HasSubstr("the loop of layer 0 halts by a rule of the walk"));
  EXPECT_THAT(refused([](Policy& p) { p.loops[0].halting.history = MaskHistory::kPrevious; }),
              HasSubstr("the loop of layer 0 halts rows with mask_history = previous"));
}

}  // namespace
}  // namespace fathom
