// From the section `looping` to groups, doors and counts.
#include "fathom/model/spec/looping_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/model/spec/depth_program.h"
#include "spec/looped_model.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kLoopVocab;
using testing::model_with;
using testing::parameter;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

// "0 (1 2) ((3) 4) 5": layers, groups in parentheses.
std::string layout_of(const std::vector<PlanNode>& nodes) {
  std::string out;
  for (const PlanNode& node : nodes) {
    out += out.empty() ? "" : " ";
    if (const auto* layer = std::get_if<LayerSpec>(&node.node))
      out += std::to_string(layer->number);
    else
      out += "(" + layout_of(std::get<LoopGroup>(node.node).body) + ")";
  }
  return out;
}
std::string layout_of(const Settings& settings) {
  const DepthPlan plan = make_depth_plan(model_with(settings));
  return layout_of(plan.nodes);
}

TEST(LoopGroups, AreLayersInARow) {
  EXPECT_EQ(layout_of(Settings{}), "0 1 2 3 4 5");
  EXPECT_EQ(layout_of({{"loop_groups", "[[1, 2], [3]]"}}), "0 (1 2) (3) 4 5");
  EXPECT_EQ(layout_of({{"loop_groups", "[[4, 5], [0]]"}}), "(0) 1 2 3 (4 5)");
  EXPECT_EQ(layout_of({{"loop_groups", "[[0, 1, 2, 3, 4, 5]]"}}), "(0 1 2 3 4 5)");
  EXPECT_EQ(layout_of({{"loop_groups", "[[1, [2, 3], 4]]"}}), "0 (1 (2 3) 4) 5");
  EXPECT_EQ(layout_of({{"loop_groups", "[[[1], [2]], [[[3, 4]]]]"}}), "0 ((1) (2)) (((3 4))) 5");
}

TEST(LoopGroups, AutoIsTheMiddleLayer) {
  EXPECT_EQ(layout_of({{"loop_groups", "auto"}}), "0 1 (2) 3 4 5");
  EXPECT_EQ(layout_of({{"loop_groups", "auto"}, {"n_layer", "5"}}), "0 1 (2) 3 4");
  EXPECT_EQ(layout_of({{"loop_groups", "auto"}, {"n_layer", "1"}}), "(0)");
  EXPECT_EQ(layout_of({{"loop_groups", "auto"}, {"n_layer", "2"}}), "(0) 1");
}

TEST(LoopGroups, WhatIsNoneIsRefusedByBothKeys) {
  struct Case {
    Settings settings;
    std::vector<std::string> said;
    const char* hint;
  };
  const std::vector<Case> cases = {
      {{{"loop_groups", "[[1], []]"}}, {"loop_groups = [[1], []]", "empty"}, "leave it out"},
      {{{"loop_groups", "[[1, 3]]"}}, {"the layers 1 and 3 and none between"}, "two groups"},
      {{{"loop_groups", "[[1, [3, 4]]]"}}, {"the layers 1 and 3"}, "between"},
      {{{"loop_groups", "[[2, 1]]"}}, {"layer 1 stands behind layer 2"}, "order"},
      {{{"loop_groups", "[[1, 1]]"}}, {"layer 1 stands behind layer 1"}, "once"},
      {{{"loop_groups", "[[5, 6]]"}}, {"no layer 6", "n_layer = 6"}, "from 0 to 5"},
      {{{"loop_groups", "[[1, 2], [2, 3]]"}}, {"layer 2 is in two groups"}, "within"},
      {{{"loop_groups", "[[2], [2]]"}}, {"layer 2 is in two groups"}, "within"},
      {{{"loop_groups", "[[[[[[[[[[1]]]]]]]]]]"}}, {"more than 8 deep"}, "inner groups"},
      {{{"loop_groups", "[1, 2]"}}, {"1 stands in no group"}, "[[1]]"},
      {{{"loop_groups", "[[1, 2], [3]]"}, {"loop_counts", "[2]"}},
       {"loop_counts = [2] has 1 entry", "loop_groups = [[1, 2], [3]] has 2 groups"},
       "loop_counts=None"},
      {{{"loop_groups", "auto"}, {"loop_counts", "[2, 2]"}},
       {"loop_counts = [2, 2]", "loop_groups = auto has 1 group"},
       "loop_counts=None"},
      {{{"loop_groups", "[[[[1]]]]"}, {"max_loops", "60"}},
       {"loop_groups = [[[[1]]]]", "max_loops = 60"},
       "smaller max_loops"},
      {{{"loop_groups", "[[0, 1]]"},
        {"layer_widths", "[10, 20, 20, 20, 20, 20]"},
        {"tie_head", "false"}},
       {"layer_widths", "from 10 to 20", "loop_groups' layers 0 to 1"},
       "widen outside"},
      {{{"loop_groups", "[[1], [3]]"},
        {"layer_widths", "[10, 10, 20, 20, 20, 20]"},
        {"tie_head", "false"}},
       {"loop_adapter = shared", "layer_widths", "10 and 20 channels"},
       "--loop_adapter=group"},
  };
  for (const Case& c : cases) {
    const Error e = refusal_of([&] { validate(model_with(c.settings)); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    for (const std::string& part : c.said) EXPECT_THAT(e.what(), HasSubstr(part));
    EXPECT_THAT(e.hint(), HasSubstr(c.hint)) << e.what();
  }
  for (const auto& [key, text] : {std::pair{"loop_counts", "[0]"},
                                  {"max_loops", "0"},
                                  {"loop_noise_scale", "-1"},
                                  {"loop_sampling_rbar", "0"},
                                  {"loop_sample_clamp", "0"},
                                  {"loop_sampling_strategy", "poisson"}})
    EXPECT_THAT(refusal_of([&, k = key, t = text] {
                  model_with({{k, t}});
                }).what(),
                HasSubstr(key));
}

TEST(LoopGroups, OfWidthsThatFitAreTaken) {
  const Settings widths = {{"loop_groups", "[[1], [3]]"},
                           {"layer_widths", "[10, 10, 20, 20, 20, 20]"},
                           {"loop_adapter", "group"},
                           {"tie_head", "false"}};
  EXPECT_NO_THROW(validate(model_with(widths)));
  const std::vector<ParameterSpec> table = parameter_table(model_with(widths), kLoopVocab);
  std::vector<std::string> adapters;
  for (const ParameterSpec& p : table)
    if (p.part == Part::kAdapter && p.shape.size() == 2)
      adapters.push_back(p.name + " " + std::to_string(p.shape[0]) + " " +
                         std::to_string(p.shape[1]));
  EXPECT_THAT(adapters, ElementsAre("adapter.0.weight 10 20", "adapter.1.weight 20 40"));
}

std::vector<int64_t> counts_of(const Settings& settings) {
  std::vector<int64_t> out;
  const Policy policy = make_policy(model_with(settings));
  for (const LoopPolicy& loop : policy.loops) out.push_back(loop.count);
  return out;
}

TEST(LoopCounts, AreThoseGivenOrTheMeanOrTheLargest) {
  const auto with = [](Settings more) {
    more.emplace_back("loop_groups", "[[3], [1, [2]]]");
    return more;
  };
  EXPECT_THAT(counts_of(with({{"loop_sampling_strategy", "fixed"}})), ElementsAre(30, 30, 30));
  EXPECT_THAT(counts_of(with({{"max_loops", "15"}})), ElementsAre(8, 8, 8));
  EXPECT_THAT(counts_of(with({{"max_loops", "15"}, {"loop_sample_clamp", "1"}})),
              ElementsAre(1, 1, 1));
  EXPECT_THAT(
      counts_of(with({{"loop_sampling_strategy", "log_poisson"}, {"loop_sampling_rbar", "32"}})),
      ElementsAre(33, 33, 33));
  // Lists are in the order of loop_groups, the plan's groups in that of their layers.
  EXPECT_THAT(counts_of(with({{"loop_counts", "[7, 2, 3]"}})), ElementsAre(2, 3, 7));
}

TEST(LoopCounts, ListsAreInTheOrderThatWasWritten) {
  EXPECT_THAT(loop_places(model_with({{"loop_groups", "[[3], [1, [2]]]"}}).looping, 6),
              ElementsAre(1, 2, 0));
  EXPECT_THAT(loop_places(model_with({{"loop_groups", "auto"}}).looping, 6), ElementsAre(0));
  EXPECT_THAT(loop_places({}, 6), IsEmpty());
}

TEST(EffectiveLayers, AreTheTrueMean) {
  const auto layers = [](const Settings& settings) {
    return effective_layers(model_with(settings));
  };
  EXPECT_EQ(layers({}), 6);
  EXPECT_DOUBLE_EQ(layers({{"loop_groups", "[[1], [2], [3]]"}, {"max_loops", "15"}}), 27);
  EXPECT_DOUBLE_EQ(layers({{"loop_groups", "[[1, 2], [3]]"}, {"max_loops", "30"}}), 49.5);
  EXPECT_DOUBLE_EQ(
      layers({{"n_layer", "12"}, {"loop_groups", "[[4], [5, 6], [7]]"}, {"max_loops", "30"}}), 70);
  EXPECT_DOUBLE_EQ(layers({{"loop_groups", "[[1]]"},
                           {"loop_sampling_strategy", "log_poisson"},
                           {"loop_sampling_rbar", "32"}}),
                   6 + 32);
  EXPECT_DOUBLE_EQ(
      layers(
          {{"loop_groups", "[[1]]"}, {"loop_sampling_strategy", "fixed"}, {"loop_counts", "[4]"}}),
      9);
  // Within a group: 4 of the outer's layers, of which the inner's 2 more often.
  EXPECT_DOUBLE_EQ(layers({{"loop_groups", "[[1, [2, 3], 4]]"}, {"max_loops", "3"}}),
                   2 + 2 * (2 + 2 * 2));
  EXPECT_DOUBLE_EQ(layers({{"loop_groups", "[[1]]"}, {"effective_n_layer", "9.5"}}), 9.5);
}

TEST(EffectiveLayers, AreSettledWhereTheyAct) {
  const auto settled = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[1], [2], [3]]");
    settings.emplace_back("max_loops", "15");
    return resolved("gpt2ish_shakespeare", settings).config.model.backbone.effective_n_layer;
  };
  EXPECT_EQ(settled({}), std::nullopt);
  EXPECT_EQ(settled({{"init", "takase"}}), 27.0);
  EXPECT_EQ(settled({{"init", "takase"}, {"effective_n_layer", "5"}}), 5.0);
}

const Injection& opening_of(const DepthProgram& program, size_t step) {
  return program.steps.at(step).layer.door.front();
}

TEST(LoopPolicies, NoiseIsOfTheWidthAndTheNesting) {
  const ModelConfig config = model_with({{"loop_groups", "[[1, [2]], [4]]"},
                                         {"loop_noise_scale", "3"},
                                         {"loop_noise_eval", "zero"},
                                         {"loops_backprop_depth", "8"},
                                         {"single_pass_adapter", "false"},
                                         {"loop_sampling_unit", "sequence"},
                                         {"loop_counts_eval", "sampled"}});
  const Policy policy = make_policy(config);
  ASSERT_EQ(policy.loops.size(), 3U);
  const double once = 3 * std::sqrt(2 / (5 * 20.0));
  EXPECT_DOUBLE_EQ(policy.loops[0].noise, once);
  EXPECT_DOUBLE_EQ(policy.loops[1].noise, once * std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(policy.loops[2].noise, once);
  for (const LoopPolicy& loop : policy.loops) {
    EXPECT_EQ(loop.noise_in_eval, NoiseInEval::kZero);
    EXPECT_EQ(loop.backprop_depth, 8);
    EXPECT_FALSE(loop.single_pass_adapter);
    EXPECT_TRUE(loop.sampled_by_sequence);
    EXPECT_TRUE(loop.sampled_in_eval);
    EXPECT_EQ(loop.sampler.max_loops, 30);
  }
  const DepthProgram program = unroll(make_depth_plan(config), policy);
  EXPECT_EQ(opening_of(program, 1).noise_in_eval, NoiseInEval::kZero);
  for (const char* full : {"0", "None", "-1"})
    EXPECT_EQ(make_policy(model_with({{"loop_groups", "[[1]]"}, {"loops_backprop_depth", full}}))
                  .loops[0]
                  .backprop_depth,
              0);
}

// The words of a step's door.
std::string door_of(const StepSpec& step) {
  std::string out;
  for (const Injection& i : step.layer.door) {
    out += out.empty() ? "" : " ";
    switch (i.kind) {
      case Injection::kOpenLoop:
        out += "open";
        break;
      case Injection::kLoopInput:
        out += "input" + std::to_string(i.instance);
        break;
      case Injection::kLoopSignal:
        out += "signal" + std::to_string(i.instance) + "@" + std::to_string(i.loop.iteration);
        break;
      case Injection::kNorm:
        out += i.norm.name();
        break;
      default:
        out += "other";
    }
  }
  return out;
}

std::vector<std::string> doors_of(const Settings& settings, const std::vector<int64_t>& times) {
  const ModelConfig config = model_with(settings);
  Policy policy = make_policy(config);
  for (size_t g = 0; g < times.size(); ++g) policy.loops.at(g).count = times[g];
  std::vector<std::string> out;
  const DepthProgram program = unroll(make_depth_plan(config), policy);
  for (const StepSpec& step : program.steps) out.push_back(door_of(step));
  return out;
}

TEST(LoopDoors, HaveInputThenNormThenSignal) {
  const Settings all = {{"n_layer", "2"},
                        {"loop_groups", "[[0], [1]]"},
                        {"loop_norm", "rms"},
                        {"loop_signal", "vector"}};
  EXPECT_THAT(doors_of(all, {2, 1}),
              ElementsAre("open input0 norm_loop.0 signal0@0", "input0 norm_loop.0 signal0@1",
                          "open input0 norm_loop.1 signal1@0"));
  Settings own = all;
  own.emplace_back("loop_adapter", "group");
  EXPECT_THAT(doors_of(own, {1, 1}), ElementsAre("open input0 norm_loop.0 signal0@0",
                                                 "open input1 norm_loop.1 signal1@0"));
  Settings added = all;
  added.emplace_back("concatenate_initial_representation", "false");
  EXPECT_THAT(doors_of(added, {1, 2}),
              ElementsAre("open norm_loop.0 signal0@0", "open input-1 norm_loop.1 signal1@0",
                          "input-1 norm_loop.1 signal1@1"));
  added.emplace_back("single_pass_adapter", "false");
  EXPECT_THAT(doors_of(added, {1, 1}), ElementsAre("open", "open")) << "the plain layers";
}

TEST(LoopDoors, ParametersBeginAsTheirKindSays) {
  const auto table = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[1]]");
    return parameter_table(model_with(settings), kLoopVocab);
  };
  const auto adapter = [&](const Settings& settings) {
    const std::vector<ParameterSpec> all = table(settings);
    EXPECT_EQ(parameter(all, "adapter.0.weight").shape, (std::vector<int64_t>{20, 40}));
    EXPECT_EQ(parameter(all, "adapter.0.bias").init.kind, InitRule::kZeros);
    return parameter(all, "adapter.0.weight").init;
  };
  EXPECT_EQ(adapter({}).kind, InitRule::kNormal);
  const InitRule identity = adapter({{"loop_adapter_init", "identity"}, {"init", "torch"}});
  EXPECT_EQ(identity.kind, InitRule::kDiagonal);
  EXPECT_EQ(identity.scale, 1);
  EXPECT_EQ(identity.beside, 0);
  EXPECT_EQ(adapter({{"loop_adapter_init", "half"}}).beside, 0.5);
  const auto vector = table({{"loop_signal", "vector"}, {"max_loops", "7"}});
  EXPECT_EQ(parameter(vector, "loop_signal.0.weight").shape, (std::vector<int64_t>{7, 20}));
  EXPECT_EQ(parameter(vector, "loop_signal.0.weight").init.kind, InitRule::kZeros);
  const auto scale = table({{"loop_signal", "scale"}});
  EXPECT_EQ(parameter(scale, "loop_signal.0.weight").shape, (std::vector<int64_t>{30, 1}));
  EXPECT_EQ(parameter(scale, "loop_signal.0.weight").init.kind, InitRule::kOnes);
  EXPECT_EQ(parameter(scale, "loop_signal.0.weight").decays, false);
  const auto norm = table({{"loop_norm", "layer"}, {"bias", "true"}});
  EXPECT_EQ(parameter(norm, "norm_loop.0.bias").shape, std::vector<int64_t>{20});
}

TEST(LoopRemarks, TellWhatIsProbablyNotMeant) {
  const auto said = [](Settings settings) {
    settings.emplace_back("loop_groups", "[[1]]");
    return remarks(model_with(settings));
  };
  EXPECT_THAT(said({}), IsEmpty());
  EXPECT_THAT(said({{"loop_sampling_strategy", "fixed"}, {"loop_counts", "[3]"}}), IsEmpty());
  EXPECT_THAT(said({{"loop_counts", "[3]"}}),
              ElementsAre(HasSubstr("loop_counts = [3] count in evaluation")));
  EXPECT_THAT(said({{"max_loops", "1"}}), ElementsAre(HasSubstr("runs every group once")));
  EXPECT_THAT(said({{"max_loops", "5"}, {"loop_sample_clamp", "5"}}),
              ElementsAre(HasSubstr("loop_sample_clamp = 5 cuts no draw")));
}

TEST(Evaluations, MaySetWhatIsAMatterOfOnePass) {
  const auto evaluated = [](const char* text) {
    return resolved("gpt2ish_shakespeare", {{"loop_groups", "[[1], [3]]"}, {"evaluations", text}});
  };
  EXPECT_NO_THROW(evaluated("val; deep: loop_counts=[9, 40], loop_noise_scale=1, max_loops=50"));
  EXPECT_THAT(refusal_of([&] { evaluated("val; deep: loop_counts=[9]"); }).what(),
              HasSubstr("loop_counts = [9]"));
  EXPECT_THAT(refusal_of([&] { evaluated("val; deep: loop_groups=[[2]]"); }).what(),
              HasSubstr("no matter of one pass"));
}

}  // namespace
}  // namespace fathom
