// What attentions, MLPs and norms declare: parameters, costs, and what makes no sense.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "spec/parts.h"

namespace fathom {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

template <class Change>
DepthPlan one_layer(const Change& change) {
  LayerSpec layer = with_readout(block(0, 8), 0);
  change(layer);
  return plan_of({{layer}});
}
DepthPlan with(const AttentionSpec& a) {
  return one_layer([&](LayerSpec& l) { l.attention = {a}; });
}
DepthPlan with(const MlpSpec& m) {
  return one_layer([&](LayerSpec& l) { l.mlp = {m}; });
}
DepthPlan with(const NormSpec& n) {
  return one_layer([&](LayerSpec& l) { l.norm_in = n; });
}

// ---- Attention

TEST(AttentionParts, HaveTheMapsThatTheyUse) {
  const auto maps = [](AttentionSpec a) { return shapes(with(a), "attention.0."); };
  AttentionSpec a;
  const Shapes usual = {{"qkv.weight", {24, 8}}, {"out.weight", {8, 8}}};
  EXPECT_EQ(maps(a), usual);
  a.scores = AttentionSpec::kSigmoid;
  for (const auto mask : {AttentionSpec::kCausal, AttentionSpec::kStrict}) {
    a.mask = mask;
    EXPECT_EQ(maps(a), usual);
  }
  for (const auto scores : {AttentionSpec::kUniform, AttentionSpec::kFixed}) {
    a.scores = scores;
    EXPECT_EQ(maps(a), (Shapes{{"v.weight", {8, 8}}, {"out.weight", {8, 8}}}));
  }
  for (const auto value : {AttentionSpec::kSum, AttentionSpec::kMean}) {
    a = {};
    a.value = value;
    EXPECT_EQ(maps(a), (Shapes{{"qk.weight", {16, 8}}, {"out.weight", {8, 8}}}));
    a.output_projection = false;
    EXPECT_EQ(maps(a), (Shapes{{"qk.weight", {16, 8}}}));
    a.scores = AttentionSpec::kUniform;
    EXPECT_EQ(maps(a), Shapes());
  }
  a = {};
  a.value = AttentionSpec::kConcat;
  EXPECT_EQ(maps(a), (Shapes{{"qk.weight", {16, 8}}, {"out.weight", {8, 16}}}));
}

TEST(AttentionParts, BiasesAreTheBackbonesUnlessTheySayIt) {
  AttentionSpec a(3);
  EXPECT_EQ(shapes(with(a), "attention.3.", true).count("qkv.bias"), 1U);
  EXPECT_EQ(shapes(with(a), "attention.3.", false).count("qkv.bias"), 0U);
  for (const bool own : {false, true}) {
    a.bias = own;
    EXPECT_EQ(shapes(with(a), "attention.3.", !own).count("out.bias"), own ? 1U : 0U);
  }
}

// C = 8, H = 2, T = 6: a multiply-add is 2.
TEST(AttentionParts, CostWhatTheyCompute) {
  const auto flops = [](AttentionSpec a, std::optional<int64_t> context = {}) {
    DepthPlan plan = with(a);
    std::get<LayerSpec>(plan.nodes[0].node).context = context;
    const Flops f = flops_of(plan);
    return std::pair(f.attention_linear, f.attention_scores);
  };
  AttentionSpec a;
  EXPECT_EQ(flops(a), std::pair(2.0 * 4 * 64, 2.0 * (8 * 6 + 8 * 6)));
  EXPECT_EQ(flops(a, 2), std::pair(2.0 * 4 * 64, 2.0 * (8 * 3 + 8 * 3)));
  a.value = AttentionSpec::kSum;
  EXPECT_EQ(flops(a), std::pair(2.0 * 3 * 64, 2.0 * (8 * 6 + 8 * 6)));
  a.value = AttentionSpec::kConcat;
  EXPECT_EQ(flops(a), std::pair(2.0 * (2 * 64 + 16 * 8), 2.0 * (8 * 6 + 16 * 6)));
  a = {};
  a.output_projection = false;
  EXPECT_EQ(flops(a).first, 2.0 * 3 * 64);
  a.scores = AttentionSpec::kUniform;
  EXPECT_EQ(flops(a), std::pair(2.0 * 64, 2.0 * (2 * 6 + 8 * 6)));
}

TEST(AttentionParts, WithoutAMeaningAreRefused) {
  AttentionSpec a(5);
  a.value = AttentionSpec::kConcat;
  EXPECT_NO_THROW(check_plan(with(a)));
  a.output_projection = false;
  EXPECT_THAT(refused(with(a)), AllOf(HasSubstr("attention.5"), HasSubstr("projection")));
  a = {};
  a.mask = AttentionSpec::kSink;
  EXPECT_NO_THROW(check_plan(with(a)));
  for (const auto scores : {AttentionSpec::kSigmoid, AttentionSpec::kFixed}) {
    a.scores = scores;
    EXPECT_THAT(refused(with(a)), HasSubstr("sink"));
  }
  a.mask = AttentionSpec::kStrict;
  EXPECT_NO_THROW(check_plan(with(a)));
  DepthPlan both_ways = with(a);
  both_ways.causal = false;
  EXPECT_THAT(refused(both_ways), HasSubstr("not causal"));
  // Inside of a loop as well.
  DepthPlan looped = with(a);
  a.mask = AttentionSpec::kSink;
  LayerSpec inside = block(1, 8);
  inside.attention = {a};
  looped.nodes.insert(looped.nodes.begin(), {loop_of({{inside}}, 2)});
  EXPECT_THAT(refused(looped), HasSubstr("sink"));
}

// ---- MLPs

TEST(MlpParts, AreAsWideAsTheySay) {
  MlpSpec m(2);
  const auto maps = [&](bool bias = false) { return shapes(with(m), "mlp.2.", bias); };
  EXPECT_EQ(maps(), (Shapes{{"up.weight", {32, 8}}, {"down.weight", {8, 32}}}));
  m.hidden = 8.0 / 3;
  EXPECT_EQ(maps(), (Shapes{{"up.weight", {21, 8}}, {"down.weight", {8, 21}}}));
  m.gated = true;
  m.act = MlpSpec::kSilu;
  EXPECT_EQ(maps(),
            (Shapes{{"gate.weight", {21, 8}}, {"up.weight", {21, 8}}, {"down.weight", {8, 21}}}));
  EXPECT_EQ(maps(true).size(), 6U);
  m.bias = false;
  EXPECT_EQ(maps(true).size(), 3U);
  const DepthPlan plan = with(m);
  EXPECT_EQ(flops_of(plan).mlp, 2.0 * 3 * 8 * 21);
  m.hidden = 0.01;
  EXPECT_EQ(maps().at("up.weight"), Shape({1, 8})) << "one channel at least";
  for (const double none : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    m.hidden = none;
    EXPECT_THAT(refused(with(m)), AllOf(HasSubstr("mlp.2"), HasSubstr("wide")));
  }
}

// ---- Norms

TEST(NormParts, HaveTheVectorsThatTheyUse) {
  NormSpec n(NormId::kIn, 4);
  const auto vectors = [&](bool bias) { return shapes(with(n), "norm_in.4.", bias); };
  const Shapes none, weight = {{"weight", {8}}}, both = {{"weight", {8}}, {"bias", {8}}};
  EXPECT_EQ(vectors(false), weight);
  EXPECT_EQ(vectors(true), both);
  n.kind = NormSpec::kRms;
  EXPECT_EQ(vectors(true), weight) << "a bias only where it is asked for";
  n.bias = true;
  EXPECT_EQ(vectors(false), both);
  n = {NormId::kIn, 4};
  n.weight = false;
  EXPECT_EQ(vectors(true), none);
  n.bias = true;
  EXPECT_EQ(vectors(false), (Shapes{{"bias", {8}}}));
  n.kind = NormSpec::kNone;
  EXPECT_EQ(vectors(true), none);
  n.eps = 0;
  EXPECT_THAT(refused(with(n)), AllOf(HasSubstr("norm_in.4"), HasSubstr("eps")));
}

// ---- What is shared

std::string clash(const LayerSpec& a, const LayerSpec& b) {
  const DepthPlan plan = plan_of({{a}, {b}});
  const Error e = refusal_of([&] { parameter_table(plan, parts_backbone(), kPartsVocab); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_FALSE(e.hint().empty());
  return e.what();
}

TEST(SharedInstances, AreOfOneKind) {
  const LayerSpec usual = block(0, 8);
  LayerSpec other = block(1, 8);
  AttentionSpec a(0);
  a.value = AttentionSpec::kSum;
  other.attention = {a};
  EXPECT_THAT(clash(usual, other), AllOf(HasSubstr("attention.0"), HasSubstr("qk")));
  EXPECT_THAT(clash(other, usual), HasSubstr("attention.0"));
  other = block(1, 8);
  MlpSpec m(0);
  m.gated = true;
  other.mlp = {m};
  EXPECT_THAT(clash(usual, other), AllOf(HasSubstr("mlp.0"), HasSubstr("mlp.0.gate.weight")));
  other = block(1, 8);
  NormSpec n(NormId::kMid, 0);
  n.eps = 1e-3;
  other.norm = {n};
  EXPECT_THAT(clash(usual, other), AllOf(HasSubstr("norm_mid.0"), HasSubstr("eps 0.001")));
  n = {NormId::kMid, 0};
  n.kind = NormSpec::kRms;
  other.norm = {n};
  EXPECT_THAT(clash(usual, other), AllOf(HasSubstr("layer"), HasSubstr("rms")));
}

// The weights of one attention under two masks, and of one MLP under two activations.
TEST(SharedInstances, MayBeUsedInTwoWays) {
  LayerSpec other = block(0, 8);
  other.attention[0].mask = AttentionSpec::kStrict;
  other.attention[0].scores = AttentionSpec::kSigmoid;
  other.mlp[0].act = MlpSpec::kRelu;
  const DepthPlan plan = plan_of({{block(0, 8)}, {other}});
  EXPECT_EQ(shapes(plan, "attention.").size(), 2U);
  EXPECT_EQ(shapes(plan, "mlp.").size(), 2U);
}

}  // namespace
}  // namespace fathom
