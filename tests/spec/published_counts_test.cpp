// Parameter counts that others have published, of blocks that layers share.
#include <gtest/gtest.h>

#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/decay.h"
#include "spec/plans.h"

namespace fathom {
namespace {

using testing::plan_of;

struct Count {
  int decayed_tensors = 0, other_tensors = 0;
  int64_t decayed = 0, others = 0;
};

BackboneConfig gpt2_small() {
  BackboneConfig b;
  b.bias = true;
  b.tie_head = true;
  return b;
}

Count count(const DepthPlan& plan) {
  check_plan(plan);
  Count c;
  for (const ParameterSpec& spec : parameter_table(plan, gpt2_small(), 50304)) {
    const bool decayed = decays(spec, DecayRule::kMatrices);
    ++(decayed ? c.decayed_tensors : c.other_tensors);
    (decayed ? c.decayed : c.others) += spec.count();
  }
  return c;
}

// `blocks` different ones in turn; their first norm is the last one too.
DepthPlan twelve_layers(int layers, int blocks, const Wiring& wiring, int parts,
                        const AttentionSpec& like, bool affine) {
  DepthPlan plan = plan_of({}, 768);
  plan.tied_heads = true;
  plan.wirings = {wiring};
  const auto norm = [&](NormId::Place place, int i) {
    NormSpec n(place, i);
    n.weight = affine;
    return n;
  };
  for (int i = 0; i < layers; ++i) {
    LayerSpec layer;
    layer.width = layer.width_in = 768;
    layer.norm_in = norm(NormId::kIn, i % blocks);
    for (int k = 0; k < parts; ++k) {
      AttentionSpec a = like;
      a.instance = i % blocks * parts + k;
      layer.attention.push_back(a);
      layer.mlp.emplace_back(a.instance);
    }
    layer.norm.assign(size_t(check_wiring(wiring).norms), norm(NormId::kMid, i % blocks));
    if (i + 1 == layers) layer.readout = ReadoutSpec{0, layer.norm_in, i};
    plan.nodes.push_back({layer});
  }
  return plan;
}

TEST(PublishedCounts, OneBlockForAllLayers) {
  const Count c = count(twelve_layers(12, 1, pre_norm_wiring(), 1, {}, true));
  EXPECT_EQ(c.decayed_tensors, 6);
  EXPECT_EQ(c.decayed, 46'497'792);
  EXPECT_EQ(c.other_tensors, 8);
  EXPECT_EQ(c.others, 9'984);
}

Wiring two_of_each() {
  using namespace wire;
  const Expr n = name("n");
  return {
      {{"r", name("r") + attention(n) * mlp(n)}, {"r", name("r") + attention(n, 1) * mlp(n, 1)}}};
}

TEST(PublishedCounts, ABlockWithTwoAttentionsAndMlps) {
  AttentionSpec attention;
  const Count value = count(twelve_layers(12, 1, two_of_each(), 2, attention, false));
  EXPECT_EQ(value.decayed_tensors, 10);
  EXPECT_EQ(value.decayed, 53'575'680);
  EXPECT_EQ(value.other_tensors, 8) << "biases: norms have no parameters";
  attention.value = AttentionSpec::kSum;
  const Count no_value = count(twelve_layers(12, 1, two_of_each(), 2, attention, false));
  EXPECT_EQ(no_value.decayed_tensors, 10);
  EXPECT_EQ(no_value.decayed, 52'396'032);
  EXPECT_EQ(no_value.other_tensors, 8);
  EXPECT_EQ(value.others - no_value.others, 2 * 768);
}

TEST(PublishedCounts, ABlockForEachLayer) {
  const Count c = count(twelve_layers(13, 13, pre_norm_wiring(), 1, {}, true));
  EXPECT_EQ(c.decayed_tensors, 54);
  EXPECT_EQ(c.decayed, 131'432'448);
}

// V C + T C, and 12 C^2 + 9 C a block; less where maps are left out, more for more MLPs.
TEST(PublishedCounts, FollowTheFormula) {
  const int64_t C = 768, base = (50304 + 1024) * C + 12 * C * C + 9 * C;
  const auto total = [](const DepthPlan& plan) {
    const Count c = count(plan);
    return c.decayed + c.others;
  };
  const auto block_of = [&](const AttentionSpec& a, bool affine) {
    return total(twelve_layers(12, 1, pre_norm_wiring(), 1, a, affine));
  };
  AttentionSpec a;
  EXPECT_EQ(block_of(a, false), base);
  EXPECT_EQ(block_of(a, true), base + 2 * (2 * C));
  a.value = AttentionSpec::kMean;
  EXPECT_EQ(block_of(a, false), base - C * C - C);
  a.output_projection = false;
  EXPECT_EQ(block_of(a, false), base - 2 * (C * C + C));
  EXPECT_EQ(total(twelve_layers(12, 1, two_of_each(), 2, {}, false)), base + 12 * C * C + 9 * C);
  a.bias = false;
  EXPECT_EQ(block_of(a, false), base - 2 * (C * C + C) - 2 * C);
}

}  // namespace
}  // namespace fathom
