// What plans made by hand hold and cost: shared weights, adapters, loops, several readouts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "config/config_testing.h"
#include "fathom/model/spec/parameter_table.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::block;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::loop_of;
using testing::loops;
using testing::plan_of;
using testing::refusal_of;
using testing::with_readout;

constexpr int64_t kVocab = 10;

BackboneConfig backbone(bool bias = false) {
  BackboneConfig b;
  b.n_layer = b.n_head = 2;
  b.n_embd = 8;
  b.block_size = 6;
  b.bias = bias;
  return b;
}

using Shapes = std::map<std::string, std::vector<int64_t>>;
Shapes shapes_of(const DepthPlan& plan, bool bias = false) {
  Shapes shapes;
  for (const ParameterSpec& spec : parameter_table(plan, backbone(bias), kVocab))
    EXPECT_TRUE(shapes.emplace(spec.name, spec.shape).second) << spec.name << " twice";
  return shapes;
}

TEST(SharedParts, AreOneParameter) {
  LayerSpec again = block(0, 8), half = block(1, 8);
  half.attention = {0};
  const DepthPlan plan = plan_of({{block(0, 8)}, {again}, {with_readout(half, 2)}});
  const Shapes expected = {
      {"token_table.0.weight", {10, 8}},  {"position_table.weight", {6, 8}},
      {"norm_in.0.weight", {8}},          {"attention.0.qkv.weight", {24, 8}},
      {"attention.0.out.weight", {8, 8}}, {"norm_mid.0.weight", {8}},
      {"mlp.0.up.weight", {32, 8}},       {"mlp.0.down.weight", {8, 32}},
      {"norm_in.1.weight", {8}},          {"norm_mid.1.weight", {8}},
      {"mlp.1.up.weight", {32, 8}},       {"mlp.1.down.weight", {8, 32}},
      {"norm_out.0.weight", {8}},         {"head.0.weight", {10, 8}},
  };
  EXPECT_EQ(shapes_of(plan), expected);
  EXPECT_EQ(parameter_count(parameter_table(plan, backbone(), kVocab)),
            80 + 48 + (8 + 192 + 64 + 8 + 256 + 256) + (8 + 8 + 256 + 256) + 8 + 80);
}

TEST(SharedParts, ANormMayServeInTwoPlaces) {
  LayerSpec layer = with_readout(block(0, 8), 0);
  layer.readout->norm = {NormId::kIn, 0};
  const Shapes shapes = shapes_of(plan_of({{layer}}), /*bias=*/true);
  EXPECT_EQ(shapes.count("norm_out.0.weight"), 0U);
  EXPECT_EQ(shapes.at("norm_in.0.bias"), std::vector<int64_t>{8});
}

TEST(SharedParts, AWiringsPartsAreAllThere) {
  LayerSpec layer = block(0, 8);
  layer.attention = {3, 5};
  layer.mlp = {};
  layer.norm = {};
  DepthPlan plan = plan_of({{layer}});
  using namespace wire;
  plan.wirings[0] = {{{"r", name("r") * attention(name("n"), 1) + attention(name("n"), 0)}}};
  const Shapes shapes = shapes_of(plan);
  for (const char* there : {"attention.3.qkv.weight", "attention.5.out.weight", "norm_in.0.weight"})
    EXPECT_EQ(shapes.count(there), 1U) << there;
  for (const auto& [name, shape] : shapes)
    EXPECT_TRUE(name.find("mlp") == std::string::npos && name.find("mid") == std::string::npos)
        << name << " has no use";
}

TEST(SharedParts, TablesGatesAndAdapters) {
  LayerSpec wide =
      block(1, 8, {{Injection::kGate, 4}, {Injection::kWiden}, {Injection::kTokenTable, 2}});
  wide.width_in = 4;
  LoopGroup inner = loop_of({{wide}}), outer = loop_of({{inner}});
  inner.adapter = 7;
  outer.body = {{inner}};
  outer.adapter = 6;
  const Shapes shapes = shapes_of(plan_of({{block(0, 4)}, {outer}}, 4));
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shapes.at("token_table.0.weight"), Shape({10, 4}));
  EXPECT_EQ(shapes.at("token_table.2.weight"), Shape({10, 8}));
  EXPECT_EQ(shapes.at("gate.4.weight"), Shape({1, 4})) << "it looks at the stream before it grows";
  EXPECT_EQ(shapes.at("gate.4.bias"), Shape({1}));
  for (const char* adapter : {"adapter.6", "adapter.7"}) {
    EXPECT_EQ(shapes.at(std::string(adapter) + ".weight"), Shape({4, 8}));
    EXPECT_EQ(shapes.at(std::string(adapter) + ".bias"), Shape({4})) << "always there";
  }
}

TEST(SharedParts, ATiedHeadIsItsTable) {
  DepthPlan plan = plan_of({{with_readout(block(0, 8), 0)}});
  EXPECT_EQ(shapes_of(plan).count("head.0.weight"), 1U);
  plan.tied_heads = true;
  EXPECT_EQ(shapes_of(plan).count("head.0.weight"), 0U);
}

TEST(SharedParts, OfDifferentShapesAreRefused) {
  LayerSpec wide = block(1, 16);
  const auto expect_clash = [&](const LayerSpec& second, const char* name, const char* one,
                                const char* other, const LayerSpec& first = block(0, 8)) {
    const Error e = refusal_of([&] {
      parameter_table(plan_of({{first}, {second}}), backbone(), kVocab);
    });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(name), HasSubstr(one), HasSubstr(other)));
    EXPECT_THAT(e.hint(), HasSubstr("widths"));
  };
  LayerSpec changed = wide;
  changed.attention = {0};
  expect_clash(changed, "attention.0.qkv.weight", "[24, 8]", "[48, 16]");
  changed = wide;
  changed.mlp = {0};
  expect_clash(changed, "mlp.0.up.weight", "[32, 8]", "[64, 16]");
  changed = wide;
  changed.norm = {{NormId::kMid, 0}};
  expect_clash(changed, "norm_mid.0.weight", "[8]", "[16]");
  changed = wide;
  changed.norm_in = {NormId::kIn, 0};
  expect_clash(changed, "norm_in.0.weight", "[8]", "[16]");
  expect_clash(block(1, 16, {{Injection::kTokenTable, 0}}), "token_table.0.weight", "[10, 8]",
               "[10, 16]");
  LayerSpec reads = with_readout(wide, 1);
  reads.readout->norm = {NormId::kOut, 1};
  expect_clash(reads, "head.0.weight", "[10, 8]", "[10, 16]", with_readout(block(0, 8), 0));
}

TEST(SharedParts, AnAdapterServesLoopsOfOneWidth) {
  const LoopGroup narrow = loop_of({{block(0, 8)}}, 0), wide = loop_of({{block(1, 16)}}, 0);
  const LoopGroup other = loop_of({{block(2, 8)}}, 0);
  EXPECT_EQ(shapes_of(plan_of({{narrow}, {other}})).count("adapter.0.weight"), 1U);
  EXPECT_THAT(refusal_of([&] {
                parameter_table(plan_of({{narrow}, {wide}}), backbone(), kVocab);
              }).what(),
              AllOf(HasSubstr("adapter.0.weight"), HasSubstr("[8, 16]"), HasSubstr("[16, 32]")));
}

std::vector<double> by_part(const Flops& f) {
  return {f.attention_linear, f.attention_scores, f.mlp, f.head, f.doors};
}

// C = 8, T = 6, V = 10. A multiply-add is 2.
TEST(CountedFlops, ALoopedProgram) {
  LayerSpec windowed = block(0, 8);
  windowed.context = 2;
  const LoopGroup loop = loop_of({{block(1, 8)}, {block(1, 8)}}, 0);
  const DepthPlan plan = plan_of({{windowed}, {loop}, {with_readout(block(2, 8), 2)}});
  const Flops flops = flops_per_token(plan, unroll(plan, loops({3})), backbone(), kVocab, 6);
  const double linears = 2 * (8 * 24 + 8 * 8);  // q k v, and out
  const double dense = 2 * (8 * 6 + 8 * 6), window = 2 * (8 * 3 + 8 * 3);
  const double mlp = 2 * (8 * 32 + 32 * 8);
  EXPECT_THAT(by_part(flops),
              ElementsAre(8 * linears, window + 7 * dense, 8 * mlp, 2 * 8 * 10, 3 * (2 * 16 * 8)));
  EXPECT_EQ(flops.forward(), 8 * 512 + 96 + 7 * 192 + 8 * 1024 + 160 + 768);
  EXPECT_EQ(flops.training(), 3 * flops.forward());
  const Flops once = flops_per_token(plan, unroll(plan), backbone(), kVocab, 6);
  EXPECT_THAT(by_part(once),
              ElementsAre(4 * linears, window + 3 * dense, 4 * mlp, 2 * 8 * 10, 2 * 16 * 8));
}

// A part that a wiring calls twice is computed twice.
TEST(CountedFlops, CallsAndNotInstances) {
  using namespace wire;
  const DepthPlan once = plan_of({{with_readout(block(0, 8), 0)}});
  DepthPlan twice = once;
  twice.wirings = {{{{"r", name("r") + attention(name("n")) + attention(name("r"))},
                     {"r", name("r") + mlp(norm(name("r"))) + mlp(name("n"))}}}};
  const Flops one = flops_per_token(once, unroll(once), backbone(), kVocab, 6);
  const Flops two = flops_per_token(twice, unroll(twice), backbone(), kVocab, 6);
  EXPECT_THAT(by_part(two), ElementsAre(2 * one.attention_linear, 2 * one.attention_scores,
                                        2 * one.mlp, one.head, 0));
}

TEST(CountedFlops, AnEarlyExitModel) {
  ModelConfig config;
  config.backbone = backbone();
  config.backbone.tie_head = false;
  EarlyExitConfig& e = config.early_exit;
  e.layer_tables = e.layer_heads = true;
  e.layer_widths = {4, 8};
  e.gate_mode = GateMode::kLearned;
  e.layer_contexts = {0, 5};
  config.halting.rule = HaltRule::kMax;
  validate(config);
  const Flops flops = flops_per_token(config, 7, 5);
  EXPECT_THAT(
      by_part(flops),
      ElementsAre(2 * (4 * 12 + 4 * 4) + 2 * (8 * 24 + 8 * 8),
                  2 * (4 * 1 + 4 * 1) + 2 * (8 * 5 + 8 * 5),  // 1 and min(6, 5) keys
                  2 * (4 * 16 + 16 * 4) + 2 * (8 * 32 + 32 * 8), 2 * 4 * 7 + 2 * 8 * 7, 2 * 4));
}

}  // namespace
}  // namespace fathom
