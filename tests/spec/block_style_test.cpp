// Block styles as wirings, and how models that loop begin.
#include "fathom/model/spec/block_style.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fathom/model/spec/depth_plan.h"
#include "spec/looped_model.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::kLoopVocab;
using testing::model_with;
using testing::parameter;
using testing::refusal_of;
using testing::Settings;

std::string styled_wiring(const char* style, const char* scaling = "none") {
  return to_text(make_depth_plan(model_with({{"block_style", style},
                                             {"residual_scaling", scaling},
                                             {"effective_n_layer", "8"}}))
                     .wirings.at(0));
}

TEST(BlockStyles, AreWiringsWithTheirNorms) {
  EXPECT_EQ(styled_wiring("gpt2"), "r = r + A(n); r = r + M(N(r))");
  EXPECT_EQ(styled_wiring("sandwich"), "r = r + N(A(n)); r = r + N[1](M(r))");
  EXPECT_EQ(styled_wiring("huginn"), "r = N(r + A(n)); r = N[2](r + M(N[1](r)))");
  EXPECT_EQ(styled_wiring("huginn", "tied_depth"), "r = N(4*r + A(n)); r = N[2](4*r + M(N[1](r)))");
  for (const char* style : {"sandwich", "huginn"}) {
    const DepthPlan plan =
        make_depth_plan(model_with({{"block_style", style}, {"rms_norm_eps", "1e-3"}}));
    check_plan(plan);
    std::set<std::string> names;
    each_layer(plan, [&](const LayerSpec& layer) {
      EXPECT_EQ(layer.mlp.at(0).act, MlpSpec::kSilu);
      std::vector<NormSpec> norms = layer.norm;
      norms.push_back(layer.norm_in);
      for (const NormSpec& norm : norms) {
        EXPECT_EQ(norm.kind, NormSpec::kRms);
        EXPECT_EQ(norm.eps, 1e-3);
        EXPECT_TRUE(names.insert(norm.name()).second) << norm.name();
      }
      if (layer.readout) {
        EXPECT_EQ(layer.readout->norm.kind, NormSpec::kLayer);
      }
    });
  }
}

TEST(BlockStyles, TheStreamIsScaledOnlyWhereItIsNormed) {
  const Error e = refusal_of([&] {
    validate(model_with({{"residual_scaling", "tied_depth"}, {"block_style", "sandwich"}}));
  });
  EXPECT_THAT(e.what(), HasSubstr("residual_scaling = tied_depth needs block_style = huginn"));
}

TEST(Embeddings, AreScaledTogetherBeforeTheFirstLayer) {
  const auto stem = [](const char* scales) {
    return make_depth_plan(model_with({{"scale_embeddings", scales}})).stem.door;
  };
  EXPECT_EQ(stem("false").size(), 2U);
  ASSERT_EQ(stem("true").size(), 3U);
  const Injection last = stem("true").back();
  EXPECT_EQ(last.kind, Injection::kScale);
  EXPECT_DOUBLE_EQ(last.amount, std::sqrt(20.0));
}

struct BeginOfModel {
  std::vector<ParameterSpec> table;
  double gain = 1;

  double of(const std::string& name) const { return parameter(table, name).init.scale; }
};

// Of 6 layers of 20 channels, of which a token passes 27.
BeginOfModel begin_of(Settings settings) {
  settings.emplace_back("loop_groups", "[[1], [2], [3]]");
  settings.emplace_back("max_loops", "15");
  settings.emplace_back("bias", "true");
  const ModelConfig config = model_with(settings);
  BeginOfModel begin;
  begin.table = parameter_table(config, kLoopVocab);
  const DepthPlan plan = make_depth_plan(config);
  each_layer(plan, [&](const LayerSpec& layer) {
    if (layer.readout) begin.gain = layer.readout->norm.gain;
  });
  return begin;
}

TEST(DepthInit, TakaseScalesTheScores) {
  const double all = std::sqrt(2 / (5 * 20.0)), head = std::sqrt(1 / (5 * 20.0 * 27));
  const BeginOfModel tied = begin_of({{"init", "takase"}});
  for (const char* name :
       {"token_table.0.weight", "position_table.weight", "attention.1.qkv.weight",
        "attention.1.out.weight", "mlp.1.up.weight", "mlp.1.down.weight", "adapter.0.weight"})
    EXPECT_DOUBLE_EQ(tied.of(name), all) << name;
  EXPECT_EQ(parameter(tied.table, "mlp.1.up.bias").init.kind, InitRule::kZeros);
  EXPECT_DOUBLE_EQ(tied.gain * all, head);
  const BeginOfModel untied = begin_of({{"init", "takase"}, {"tie_head", "false"}});
  EXPECT_DOUBLE_EQ(untied.of("head.0.weight"), head);
  EXPECT_EQ(untied.gain, 1);
  const BeginOfModel reference = begin_of({{"init", "takase_tied"}});
  EXPECT_DOUBLE_EQ(reference.of("token_table.0.weight"), head);
  EXPECT_DOUBLE_EQ(reference.of("position_table.weight"), all);
  EXPECT_EQ(reference.gain, 1);
  EXPECT_THAT(refusal_of([] {
                validate(model_with({{"init", "takase_tied"}, {"tie_head", "false"}}));
              }).what(),
              HasSubstr("tie_head = false"));
}

TEST(DepthInit, HuginnScalesWhatIsAdded) {
  const double all = std::sqrt(2 / (5 * 20.0));
  const BeginOfModel begin = begin_of({{"init", "huginn"}});
  for (const char* name : {"token_table.0.weight", "attention.1.qkv.weight", "mlp.1.up.weight"}) {
    EXPECT_DOUBLE_EQ(begin.of(name), all) << name;
    EXPECT_EQ(parameter(begin.table, name).init.kind, InitRule::kTruncated);
  }
  for (const char* name : {"attention.1.out.weight", "mlp.1.down.weight"})
    EXPECT_DOUBLE_EQ(begin.of(name), all / std::sqrt(2 * 27.0)) << name;
}

TEST(DepthInit, TiedDepthTakesTheInitsOwnPlace) {
  for (const char* init : {"gpt2", "torch", "takase", "huginn"}) {
    const BeginOfModel plain = begin_of({{"init", init}, {"block_style", "huginn"}});
    const BeginOfModel tied =
        begin_of({{"init", init}, {"block_style", "huginn"}, {"residual_scaling", "tied_depth"}});
    EXPECT_EQ(plain.of("mlp.1.up.weight"), tied.of("mlp.1.up.weight")) << init;
    const std::string is = init;
    const double whole = is == "gpt2"    ? 0.02
                         : is == "torch" ? 1 / std::sqrt(80.0)
                                         : std::sqrt(2 / (5 * 20.0));
    EXPECT_DOUBLE_EQ(tied.of("mlp.1.down.weight"), whole / std::sqrt(8 * 27.0)) << init;
  }
}

}  // namespace
}  // namespace fathom
