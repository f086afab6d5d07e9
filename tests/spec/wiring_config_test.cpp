// Keys of the wiring, as far as they are data: parts, instances, norms, positions, and what makes
// no sense.
#include "fathom/model/spec/wiring_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/policy.h"
#include "spec/wired.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::and_also;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kLoopVocab;
using testing::model_with;
using ::testing::Not;
using testing::parameter;
using testing::refusal_of;
using testing::Settings;
using ::testing::StartsWith;
using testing::wired_layers;
using testing::wired_names;
using testing::wiring_refusal;

TEST(WiringKeys, AtTheirDefaultsLeaveThePlanAsItWas) {
  EXPECT_THAT(wired_names({{"n_layer", "2"}}),
              ElementsAre("token_table.0.weight", "position_table.weight", "norm_in.0.weight",
                          "attention.0.qkv.weight", "attention.0.out.weight", "norm_mid.0.weight",
                          "mlp.0.up.weight", "mlp.0.down.weight", "norm_in.1.weight",
                          "attention.1.qkv.weight", "attention.1.out.weight", "norm_mid.1.weight",
                          "mlp.1.up.weight", "mlp.1.down.weight", "norm_out.0.weight"));
  // The same wiring, written out, is the same model.
  EXPECT_EQ(wired_names({{"wiring", "r = r + A(n); r = r + M(N(r))"}}), wired_names({}));
  for (const char* none : {"", "None", "none"}) {
    WiringConfig config;
    config.wiring = none;
    EXPECT_FALSE(config.has_wiring()) << none;
  }
}

// GPT-2's sizes with a vocabulary of 50,304: V C + T C + 12 C^2 + 9 C a block + 2 C a norm.
struct WiredCount {
  int64_t all = 0, matrices = 0, tensors = 0;  // of these, of two dimensions
};

WiredCount count_of(const Settings& settings) {
  Settings gpt2 = {{"n_layer", "12"},
                   {"n_head", "12"},
                   {"n_embd", "768"},
                   {"bias", "true"},
                   {"block_size", "1024"}};
  const ModelConfig config = model_with(and_also(gpt2, settings));
  validate(config);
  WiredCount count;
  for (const ParameterSpec& spec : parameter_table(config, 50304)) {
    count.all += spec.count();
    if (spec.shape.size() == 2) count.matrices += spec.count();
    ++count.tensors;
  }
  return count;
}

TEST(WiringCounts, AreThoseOfThePublishedRuns) {
  const Settings one = {{"share", "one"}, {"norm_ties", "last"}};
  // One block, applied twelve times: 6 matrices and 8 tensors of one dimension.
  const WiredCount vanilla = count_of(one);
  EXPECT_EQ(vanilla.matrices, 46497792);
  EXPECT_EQ(vanilla.all - vanilla.matrices, 9984);
  EXPECT_EQ(vanilla.tensors, 14);
  EXPECT_EQ(count_of({}).matrices, 131432448 - 12 * 768 * 768) << "there with one unused block";
  const Settings::value_type doubled = {"wiring",
                                        "u = r*A[1](n) + A(n); r = u*M[1](N(u)) + M(N(u))"};
  const WiredCount twice = count_of(and_also(one, {doubled}));
  EXPECT_EQ(twice.matrices, 53575680);
  EXPECT_EQ(twice.tensors, 14 + 8);
  EXPECT_EQ(count_of(and_also(one, {doubled, {"attn_value", "sum"}})).matrices, 52396032);
  const WiredCount free = count_of(and_also(one, {{"norm_affine", "false"}}));
  EXPECT_EQ(vanilla.all - free.all, 4 * 768) << "two norms";
}

TEST(WiringCounts, FollowTheFormula) {
  const int64_t V = 50304, T = 1024, C = 768, L = 12;
  const auto expected = [&](int64_t of_block, int64_t norms) {
    return V * C + T * C + L * of_block + norms * 2 * C;
  };
  const int64_t block = 12 * C * C + 9 * C, attention = 4 * C * C + 4 * C;
  EXPECT_EQ(count_of({}).all, expected(block, 2 * L + 1));
  const Settings parallel = {{"wiring", "r = r + A(n) + M(n)"}};
  EXPECT_EQ(count_of(parallel).all, expected(block, L + 1)) << "no norm within the block";
  const Settings sum = and_also(parallel, {{"attn_value", "sum"}});
  EXPECT_EQ(count_of(sum).all, expected(block - C * C - C, L + 1));
  EXPECT_EQ(count_of(and_also(sum, {{"attn_projection", "false"}})).all,
            expected(block - 2 * C * C - 2 * C, L + 1));
  EXPECT_EQ(count_of({{"wiring", "r = r + A(n)*M(n) + M[1](n)"}}).all,
            expected(block + 8 * C * C + 5 * C, L + 1));
  EXPECT_EQ(count_of({{"wiring", "r = r + M(n)"}}).all, expected(block - attention, L + 1));
  EXPECT_EQ(count_of({{"attn_value", "concat"}}).all,
            expected(block - C * C - C + 11 * C * C, 2 * L + 1));
  EXPECT_EQ(count_of({{"attn_scores", "uniform"}}).all,
            expected(block - 2 * C * C - 2 * C, 2 * L + 1));
  EXPECT_EQ(count_of({{"attn_bias", "false"}, {"mlp_bias", "false"}}).all,
            expected(12 * C * C, 2 * L + 1));
  EXPECT_EQ(count_of({{"mlp_gated", "true"}, {"mlp_hidden", "2"}}).all,
            expected(attention + 6 * C * C + 5 * C, 2 * L + 1));
  EXPECT_EQ(count_of({{"positions", "none"}}).all, expected(block, 2 * L + 1) - T * C);
}

TEST(WiringParts, AreThoseThatTheFormulaCalls) {
  const auto parts = [](const std::string& wiring) {
    const LayerSpec layer = wired_layers({{"wiring", wiring}}).at(1);
    return fmt::format("{} {} {}", layer.attention.size(), layer.mlp.size(), layer.norm.size());
  };
  EXPECT_EQ(parts("r = r + M(n)"), "0 1 0");
  EXPECT_EQ(parts("r = r + A(n)"), "1 0 0");
  EXPECT_EQ(parts("a = A(n); r = r + a*M(N(a)) + M[1](N[1](r))"), "1 2 2");
  EXPECT_EQ(parts("r = 2*r"), "0 0 0");
  // Who never reads n has no norm for it.
  EXPECT_THAT(wired_names({{"wiring", "r = r + M(N(r))"}, {"n_layer", "1"}}),
              ElementsAre("token_table.0.weight", "position_table.weight", "norm_mid.0.weight",
                          "mlp.0.up.weight", "mlp.0.down.weight", "norm_out.0.weight"));
}

TEST(WiringParts, TakeTheKindsThatAreTyped) {
  const LayerSpec layer = wired_layers({{"wiring", "r = r + A(n)*M(n) + A[1](n)*M[1](n)"},
                                        {"attn_value", "mean"},
                                        {"attn_out_proj", "false"},
                                        {"attn_scores", "uniform"},
                                        {"attn_mask", "sink"},
                                        {"attn_bias", "false"},
                                        {"mlp_hidden", "2.5"},
                                        {"mlp_activation", "relu_squared"},
                                        {"mlp_gated", "true"},
                                        {"mlp_bias", "true"}})
                              .at(3);
  for (const AttentionSpec& a : layer.attention) {
    EXPECT_EQ(a.value, AttentionSpec::kMean);
    EXPECT_EQ(a.scores, AttentionSpec::kUniform);
    EXPECT_EQ(a.mask, AttentionSpec::kSink);
    EXPECT_FALSE(a.output_projection);
    EXPECT_EQ(a.bias, false);
  }
  for (const MlpSpec& m : layer.mlp) {
    EXPECT_EQ(m.hidden, 2.5);
    EXPECT_EQ(m.act, MlpSpec::kReluSquared);
    EXPECT_TRUE(m.gated);
    EXPECT_EQ(m.bias, true);
  }
  EXPECT_EQ(wired_layers({{"block_style", "huginn"}}).at(0).mlp.at(0).act, MlpSpec::kSilu);
  EXPECT_EQ(wired_layers({{"block_style", "huginn"}, {"mlp_activation", "tanh"}}).at(0).mlp[0].act,
            MlpSpec::kTanh);
}

// What is added to the stream begins small, whatever it is multiplied by before.
TEST(WiringInit, OutputProjectionsBeginSmallInEveryWiring) {
  for (const char* wiring : {"r = r + A(n)*M(n)", "r = r + A(n); r = r + M(N(r))"}) {
    const auto table =
        parameter_table(model_with({{"wiring", wiring}, {"share", "one"}}), kLoopVocab);
    for (const char* name : {"attention.0.out.weight", "mlp.0.down.weight"})
      EXPECT_DOUBLE_EQ(parameter(table, name).init.scale, 0.02 / std::sqrt(12.0)) << name;
    EXPECT_DOUBLE_EQ(parameter(table, "mlp.0.up.weight").init.scale, 0.02);
  }
}

// ---- Sharing

std::vector<int> attention_instances(const Settings& settings, size_t k = 0) {
  std::vector<int> instances;
  for (const LayerSpec& layer : wired_layers(settings))
    instances.push_back(layer.attention.at(k).instance);
  return instances;
}

TEST(Sharing, IsFreeOneOrAnyCycle) {
  EXPECT_THAT(attention_instances({}), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(attention_instances({{"share", "one"}}), ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(attention_instances({{"share", "[0, 1, 2, 0, 1, 2]"}}),
              ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(attention_instances({{"share", "[1, 1, 0, 2, 2, 0]"}}),
              ElementsAre(1, 1, 0, 2, 2, 0));
  // A class by itself goes before.
  const Settings mixed = {
      {"share", "one"}, {"share_attn", "[0, 1, 0, 1, 0, 1]"}, {"share_mlp", "free"}};
  EXPECT_THAT(attention_instances(mixed), ElementsAre(0, 1, 0, 1, 0, 1));
  const std::vector<LayerSpec> layers = wired_layers(mixed);
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].mlp[0].instance, int(i));
    EXPECT_EQ(layers[i].norm_in.name(), "norm_in.0");
    EXPECT_EQ(layers[i].norm[0].name(), "norm_mid.0");
  }
}

// A[k] of instance s is attention number k * instances + s.
TEST(Sharing, NumbersSeveralPartsOfABlockApart) {
  const Settings two = {{"wiring", "r = r + A(n)*M(n) + A[1](N(r))*M[1](N[1](r))"},
                        {"share", "[0, 1, 2, 0, 1, 2]"}};
  EXPECT_THAT(attention_instances(two, 0), ElementsAre(0, 1, 2, 0, 1, 2));
  EXPECT_THAT(attention_instances(two, 1), ElementsAre(3, 4, 5, 3, 4, 5));
  const LayerSpec layer = wired_layers(two).at(4);
  EXPECT_EQ(layer.mlp[1].instance, 4);
  EXPECT_EQ(layer.norm[1].name(), "norm_mid.4");
}

TEST(Sharing, RefusesListsThatNumberNoInstances) {
  EXPECT_THAT(wiring_refusal({{"share", "[0, 1]"}}),
              HasSubstr("share = [0, 1] has 2 entries, n_layer = 6 needs 6"));
  EXPECT_THAT(wiring_refusal({{"share_mlp", "[0, 1, 3, 0, 1, 3]"}}),
              HasSubstr("share_mlp = [0, 1, 3, 0, 1, 3]: the entry of layer 2 is instance 3, and "
                        "no layer has instance 2"));
  EXPECT_THAT(wiring_refusal({{"share_attn", "[0, 0, 0, -1, 0, 0]"}}),
              HasSubstr("share_attn = [0, 0, 0, -1, 0, 0] is out of range"));
  EXPECT_THAT(wiring_refusal({{"share_norm", "[0, [1], 0, 0, 0, 0]"}}),
              HasSubstr("the entry of layer 1 is a list"));
  for (const char* key : {"share", "share_attn", "share_mlp", "share_norm"})
    EXPECT_THAT(refusal_of([&] { model_with({{key, "[]"}}); }).what(), HasSubstr(key));
  const Error word = refusal_of([] { model_with({{"share", "two"}}); });
  EXPECT_THAT(word.what(), HasSubstr("share = \"two\" is unknown"));
}

TEST(Sharing, NeedsLayersOfOneWidth) {
  const Settings widths = {{"layer_widths", "[10, 10, 10, 20, 20, 20]"}, {"tie_head", "false"}};
  EXPECT_THAT(wiring_refusal(and_also(widths, {{"share_mlp", "one"}})),
              AllOf(HasSubstr("share_mlp = one with layer_widths = [10, 10, 10, 20, 20, 20]"),
                    HasSubstr("layers 0 and 3 share their MLP and are 10 and 20 wide")));
  EXPECT_THAT(wiring_refusal(and_also(widths, {{"share", "[0, 0, 1, 1, 2, 2]"}})),
              HasSubstr("layers 2 and 3 share their attention"));
  EXPECT_THAT(wired_names(and_also(widths, {{"share", "[0, 0, 0, 1, 1, 1]"}})),
              Not(Contains("attention.2.qkv.weight")));
}

// ---- Norms

TEST(NormKeys, SayWhatAllNormsAre) {
  const auto norms_of = [](const LayerSpec& layer) {
    std::vector<NormSpec> norms = layer.norm;
    norms.push_back(layer.norm_in);
    if (layer.readout) norms.push_back(layer.readout->norm);
    return norms;
  };
  for (const LayerSpec& layer : wired_layers({{"norm_kind", "rms"},
                                              {"rms_norm_eps", "1e-3"},
                                              {"norm_affine", "false"},
                                              {"bias", "true"},
                                              {"layer_supervision", "all"}})) {
    EXPECT_EQ(norms_of(layer).size(), 3u);
    for (const NormSpec& norm : norms_of(layer)) {
      EXPECT_EQ(norm.kind, NormSpec::kRms);
      EXPECT_EQ(norm.eps, 1e-3);
      EXPECT_FALSE(norm.weight);
    }
  }
  EXPECT_THAT(wired_names({{"norm_affine", "false"}, {"bias", "true"}}),
              Not(Contains(StartsWith("norm"))))
      << "neither weights nor biases";
  EXPECT_THAT(wired_names({{"norm_kind", "none"}}), Not(Contains(StartsWith("norm"))));
  const NormSpec layer = wired_layers({{"norm_kind", "layer"}}).at(0).norm_in;
  EXPECT_EQ(layer.kind, NormSpec::kLayer);
  EXPECT_FALSE(layer.eps) << "norm_eps";
}

// A norm at the door has parameters where the block's result is made of it, and nowhere else.
TEST(NormKeys, OfADoorThatNoResultIsMadeOf) {
  const auto door = [](const Settings& settings) {
    return wired_layers(and_also(settings, {{"bias", "true"}})).at(0).norm_in;
  };
  const auto has_parameters = [](const Settings& settings) {
    const auto names = wired_names(and_also(settings, {{"bias", "true"}}));
    return std::any_of(names.begin(), names.end(),
                       [](const auto& name) { return name.rfind("norm_in", 0) == 0; });
  };
  for (const char* read : {"r = r + M(n)", "t = n; r = r + M(t)", "y = n; r = r + M(y)"})
    EXPECT_TRUE(has_parameters({{"wiring", read}})) << read;
  for (const char* unread : {"r = r + M(r)", "t = n; r = r + M(r)", "y = n; r = r + M(r)"})
    EXPECT_FALSE(has_parameters({{"wiring", unread}})) << unread;
  EXPECT_EQ(door({{"wiring", "r = r + M(r)"}}).kind, NormSpec::kNone);
  EXPECT_EQ(door({{"wiring", "t = n; r = r + M(r)"}}).kind, NormSpec::kLayer)
      << "a probe sees a norm";
  // Queries that nobody compares with keys.
  const Settings asked = {{"wiring", "r = r + A(n, r)"}};
  EXPECT_TRUE(has_parameters(asked));
  EXPECT_FALSE(has_parameters(and_also(asked, {{"attn_scores", "uniform"}})));
}

TEST(NormKeys, TieTheLastNormToTheDoors) {
  const Settings last = {
      {"share_norm", "one"}, {"norm_ties", "last"}, {"layer_supervision", "all"}};
  for (const LayerSpec& layer : wired_layers(last)) {
    EXPECT_EQ(layer.norm_in.name(), "norm_in.0");
    EXPECT_EQ(layer.norm.at(0).name(), "norm_mid.0");
    EXPECT_EQ(layer.readout->norm.name(), "norm_in.0");
  }
  for (const LayerSpec& layer : wired_layers(and_also(last, {{"norm_ties", "all"}}))) {
    EXPECT_EQ(layer.norm.at(0).name(), "norm_in.0");
    EXPECT_EQ(layer.readout->norm.name(), "norm_in.0");
  }
  // A head for each layer, and one norm for all.
  const auto names = wired_names(
      and_also(last, {{"layer_heads", "true"}, {"tie_head", "false"}, {"norm_kind", "rms"}}));
  EXPECT_THAT(names, Contains("head.5.weight"));
  EXPECT_THAT(names, Not(Contains(StartsWith("norm_out"))));
  // Where nothing reads n the norm within the block is the one that is tied.
  const LayerSpec within =
      wired_layers({{"wiring", "r = r + M(N(r))"}, {"share_norm", "one"}, {"norm_ties", "all"}})
          .at(5);
  EXPECT_EQ(within.readout->norm.name(), "norm_mid.0");
  EXPECT_EQ(within.norm_in.kind, NormSpec::kNone);
}

// Each set of the three places, and nothing else of it.
TEST(NormKeys, TieAnyOfDoorsBlocksAndTheLast) {
  const auto names = [](const Settings& settings) {
    const LayerSpec layer = wired_layers(settings).at(5);
    return std::vector<std::string>{layer.norm_in.name(), layer.norm.at(0).name(),
                                    layer.readout->norm.name()};
  };
  const Settings one = {{"share_norm", "one"}};
  EXPECT_THAT(names(and_also(one, {{"norm_ties", "blocks"}})),
              ElementsAre("norm_in.0", "norm_in.0", "norm_out.0"));
  EXPECT_THAT(names(and_also(one, {{"norm_ties", "within"}})),
              ElementsAre("norm_in.0", "norm_mid.0", "norm_mid.0"));
  EXPECT_THAT(names({{"norm_ties", "blocks"}}), ElementsAre("norm_in.5", "norm_in.5", "norm_out.0"))
      << "each layer's own";
  const char* const two = "u = r + N[1](A(n)); r = u + M(N(u))";
  const LayerSpec layer =
      wired_layers(and_also(one, {{"norm_ties", "within"}, {"wiring", two}})).at(5);
  EXPECT_EQ(layer.norm.at(1).name(), "norm_mid.0");
  EXPECT_THAT(wired_names({{"norm_ties", "blocks"}}), Not(Contains(StartsWith("norm_mid"))));
}

TEST(NormKeys, RefuseTiesThatAreNone) {
  EXPECT_THAT(wiring_refusal({{"norm_ties", "within"}}),
              HasSubstr("there are 6 norms within the layers' blocks"));
  for (const char* ties : {"blocks", "within"})
    EXPECT_THAT(wiring_refusal({{"norm_ties", ties}, {"share", "one"}, {"wiring", "r = r + A(n)"}}),
                HasSubstr("which does not call N"));
  EXPECT_THAT(
      wiring_refusal({{"norm_ties", "blocks"}, {"share", "one"}, {"wiring", "r = r + M(N(r))"}}),
      HasSubstr("does not read n"));
  EXPECT_THAT(wiring_refusal({{"norm_ties", "last"}}),
              HasSubstr("norm_ties = last needs share_norm = one"));
  EXPECT_THAT(wiring_refusal({{"norm_ties", "all"}, {"share", "[0, 1, 0, 1, 0, 1]"}}),
              HasSubstr("there are 2 norms at the layers' doors"));
  EXPECT_THAT(wiring_refusal({{"norm_ties", "last"}, {"share", "one"}, {"init", "takase"}}),
              HasSubstr("norm_ties = last with init = takase"));
  EXPECT_THAT(
      wiring_refusal({{"norm_ties", "last"}, {"share", "one"}, {"wiring", "r = r + M(N(r))"}}),
      HasSubstr("does not read n"));
  EXPECT_THAT(wired_names({{"norm_ties", "last"}, {"n_layer", "1"}, {"n_head", "2"}}),
              Not(Contains("norm_out.0.weight")))
      << "one layer has one norm";
}

// ---- Block styles

TEST(BlockStyleKeys, AreRefusedWhereBothSayTheSame) {
  for (const char* style : {"sandwich", "huginn"}) {
    const Settings::value_type styled = {"block_style", style};
    EXPECT_THAT(wiring_refusal({styled, {"wiring", "r = r + A(n)"}}),
                HasSubstr(fmt::format("with block_style = {}", style)));
    EXPECT_THAT(wiring_refusal({styled, {"norm_kind", "layer"}}),
                HasSubstr("norm_kind = layer with block_style"));
    EXPECT_THAT(wiring_refusal({styled, {"norm_kind", "none"}}), HasSubstr("norm_kind = none"));
    EXPECT_THAT(wiring_refusal({styled, {"norm_ties", "last"}, {"share", "one"}}),
                HasSubstr("norm_ties = last with block_style"));
    const auto names = wired_names({styled,
                                    {"norm_ties", "all"},
                                    {"norm_kind", "rms"},
                                    {"share", "one"},
                                    {"attn_value", "sum"},
                                    {"mlp_gated", "true"}});
    EXPECT_EQ(names.size(), 2u + 1 + 2 + 3) << "tables, one norm, qk and out, gate, up and down";
    const auto shared = wired_names({styled, {"share_norm", "[0, 0, 0, 1, 1, 1]"}});
    EXPECT_THAT(shared, Contains("norm_attention.1.weight"));
    EXPECT_THAT(shared, Not(Contains("norm_attention.2.weight")));
  }
}

// ---- Positions

}  // namespace
}  // namespace fathom
