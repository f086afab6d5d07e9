// Which combinations of a model's settings have a meaning, and what is said about the others.
#include "fathom/model/spec/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

// Four layers of width 128 with 4 heads, block_size 64, a tied head.
constexpr const char* kPreset = "gpt2ish_shakespeare_cpu";

struct Refused {
  Settings settings;
  std::vector<std::string> said;  // keys, with values where there are some
  const char* hint;
};

void expect_refusals(const std::vector<Refused>& cases) {
  for (const Refused& c : cases) {
    const Error e = refusal_of([&] { resolved(kPreset, c.settings); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    for (const std::string& part : c.said) EXPECT_THAT(e.what(), HasSubstr(part));
    EXPECT_THAT(e.hint(), HasSubstr(c.hint)) << e.what();
  }
}

TEST(EarlyExitConfig, Refusals) {
  const Settings untied = {{"tie_head", "false"}, {"layer_heads", "true"}};
  const auto widths = [&](const char* text) {
    Settings settings = untied;
    settings.emplace_back("layer_widths", text);
    return settings;
  };
  expect_refusals({
      {widths("[64, 128]"),
       {"layer_widths = [64, 128]", "2 entries", "n_layer = 4"},
       "layer_widths=None"},
      {widths("[16, 16, 32, 64, 128]"), {"5 entries", "n_layer = 4"}, "layer_widths=None"},
      {widths("[30, 64, 64, 128]"),
       {"layer_widths = [30, 64, 64, 128]", "30", "n_head = 4"},
       "32 would fit"},
      {widths("[64, 32, 64, 128]"), {"layer_widths = ", "from 64 to 32"}, "only grow"},
      {widths("[32, 64, 64, 64]"), {"ends with 64", "layer_widths", "n_embd = 128"}, "n_embd"},
      {widths("[32, 64, 64, 256]"), {"ends with 256", "n_embd = 128"}, "n_embd"},
      {{{"layer_contexts", "[1, 2, 3]"}},
       {"layer_contexts = [1, 2, 3]", "3 entries", "n_layer = 4"},
       "layer_contexts=None"},
      {{{"layer_contexts", "[1, 2, 65, 64]"}},
       {"layer_contexts = [1, 2, 65, 64]", "65", "block_size = 64"},
       "more positions"},
      {{{"gate_mode", "learned"}},
       {"gate_mode = learned", "layer_tables = true"},
       "--layer_tables=true"},
  });
}

TEST(EarlyExitConfig, WhatFitsIsTaken) {
  const Settings untied = {{"tie_head", "false"}, {"layer_heads", "true"}};
  for (const char* text :
       {"[4, 4, 4, 128]", "[128, 128, 128, 128]", "[32, 32, 128, 128]", "None"}) {
    Settings settings = untied;
    settings.emplace_back("layer_widths", text);
    EXPECT_NO_THROW(resolved(kPreset, settings)) << text;
  }
  for (const char* text : {"[0, 0, 0, 0]", "[64, 1, 2, 64]", "None"})
    EXPECT_NO_THROW(resolved(kPreset, {{"layer_contexts", text}})) << text;
  EXPECT_NO_THROW(resolved(kPreset, {{"gate_mode", "learned"}, {"layer_tables", "true"}}));
}

TEST(EarlyExitConfig, RangesOfTheLists) {
  expect_refusals({
      {{{"layer_widths", "[0, 1, 1, 128]"}}, {"layer_widths", "1 <= layer_widths"}, "layer_widths"},
      {{{"layer_contexts", "[1, 1, 1, -1]"}}, {"0 <= layer_contexts"}, "layer_contexts"},
      {{{"gate_mode", "learnt"}}, {"gate_mode", "did you mean learned?"}, "gate_mode"},
      {{{"mask_history", "all"}}, {"mask_history", "previous, cumulative"}, "mask_history"},
      {{{"mask_self", "some"}}, {"mask_self", "true, false or None"}, "mask_self"},
  });
}

TEST(HaltingConfig, Refusals) {
  expect_refusals({
      {{{"halt_rule", "max"}, {"halt_thresholds", "[0.5, 0.9]"}},
       {"halt_thresholds = [0.5, 0.9]", "2 entries", "n_layer = 4"},
       "halt_thresholds=None"},
      {{{"confidence_temperature", "0"}}, {"0 < confidence_temperature"}, "confidence_temperature"},
      {{{"halt_rule", "maximum"}}, {"halt_rule", "none, max, gold"}, "halt_rule"},
  });
}

TEST(HaltingConfig, TheNotebooksKeysAreAliases) {
  const HaltingConfig c = resolved(kPreset, {{"confidence_mode", "gold"},
                                             {"confidence_threshold", "0.7"},
                                             {"confidence_thresholds", "[0.1, 0.2, 0.3, 0.4]"}})
                              .config.model.halting;
  EXPECT_EQ(c.rule, HaltRule::kGold);
  EXPECT_EQ(c.threshold, 0.7);
  EXPECT_THAT(c.thresholds, ElementsAre(0.1, 0.2, 0.3, 0.4));
  EXPECT_EQ(c.threshold_at(0), 0.1);
  EXPECT_EQ(c.threshold_at(3), 0.4);
  HaltingConfig one;
  one.threshold = 0.6;
  EXPECT_EQ(one.threshold_at(17), 0.6);
}

TEST(HaltingConfig, ThresholdsThatNeverOrAlwaysHaltAreRemarkedOn) {
  const auto said = [](const Settings& more) {
    Settings settings = {{"halt_rule", "max"}, {"layer_supervision", "all"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return resolved(kPreset, settings).notices;
  };
  EXPECT_THAT(said({{"halt_threshold", "0.9"}}), IsEmpty());
  EXPECT_THAT(said({{"halt_threshold", "1"}}), IsEmpty()) << "a probability can be 1";
  EXPECT_THAT(said({{"halt_threshold", "1e-9"}}), IsEmpty());
  EXPECT_THAT(said({{"halt_threshold", "1.01"}}),
              ElementsAre("a halting threshold of 1.01 is never met"));
  EXPECT_THAT(said({{"halt_threshold", "0"}}),
              ElementsAre("a halting threshold of 0 is always met"));
  EXPECT_THAT(said({{"halt_threshold", "-1"}}),
              ElementsAre("a halting threshold of -1 is always met"));
  EXPECT_THAT(said({{"halt_thresholds", "[2, 0.5, -0.5, 1]"}}),
              ElementsAre(HasSubstr("-0.5 is always met"), HasSubstr("2 is never met")));
  EXPECT_THAT(said({{"halt_threshold", "2"}, {"halt_thresholds", "[0.1, 0.1, 0.1, 0.1]"}}),
              ElementsAre("halt_threshold = 2.0 has no effect: it needs halt_thresholds = None"));
  EXPECT_THAT(resolved(kPreset, {{"halt_threshold", "2"}}).notices,
              ElementsAre("halt_threshold = 2.0 has no effect: it needs a halt_rule"))
      << "nothing halts anyway";
}

TEST(SupervisionConfig, Refusals) {
  expect_refusals({
      {{{"layer_supervision", "[1, 1]"}},
       {"layer_supervision = [1, 1]", "2 weights", "n_layer = 4"},
       "last, all or skip_easy"},
      {{{"layer_supervision", "[]"}},
       {"layer_supervision = []", "0 weights", "n_layer = 4"},
       "all"},
      {{{"layer_supervision", "[0, 0, 0, 0]"}},
       {"layer_supervision = [0, 0, 0, 0]", "trains no layer"},
       "above 0"},
      {{{"layer_supervision", "[1, 1, -1, 1]"}}, {"0 <= layer_supervision"}, "layer_supervision"},
      {{{"layer_supervision", "first"}}, {"layer_supervision", "last, all, skip_easy"}, "weight"},
      {{{"supervision_reduce", "max"}}, {"supervision_reduce", "mean, sum"}, "supervision_reduce"},
      {{{"skip_easy_weight", "row"}}, {"skip_easy_weight", "layer, token"}, "skip_easy_weight"},
  });
}

TEST(SupervisionConfig, WeightsOfLayers) {
  SupervisionConfig c;
  const auto weights = [&](ChoiceOrList layers, SupervisionReduce reduce) {
    c.layer_supervision = std::move(layers);
    c.reduce = reduce;
    return c.layer_weights(4);
  };
  constexpr auto kMean = SupervisionReduce::kMean, kSum = SupervisionReduce::kSum;
  EXPECT_THAT(weights({"last", {}}, kMean), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(weights({"last", {}}, kSum), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(weights({"all", {}}, kMean), ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_THAT(weights({"all", {}}, kSum), ElementsAre(1, 1, 1, 1));
  EXPECT_FALSE(c.skips_easy());
  EXPECT_THAT(weights({"skip_easy", {}}, kMean), ElementsAre(0.25, 0.25, 0.25, 0.25));
  EXPECT_TRUE(c.skips_easy());
  EXPECT_THAT(weights({"", {0, 1, 0, 3}}, kMean), ElementsAre(0, 0.25, 0, 0.75));
  EXPECT_THAT(weights({"", {0, 1, 0, 3}}, kSum), ElementsAre(0, 1, 0, 3));
}

TEST(ModelConfig, Refusals) {
  const char* const growing = "[32, 64, 64, 128]";
  expect_refusals({
      {{{"layer_widths", growing}}, {"tie_head = true", "layer_widths"}, "--tie_head=false"},
      {{{"layer_widths", growing}, {"layer_heads", "true"}},
       {"tie_head = true", "layer_widths"},
       "--tie_head=false"},
      {{{"layer_widths", growing}, {"layer_tables", "true"}},
       {"tie_head = true", "layer_widths"},
       "--tie_head=false"},
      {{{"layer_widths", growing}, {"tie_head", "false"}, {"layer_supervision", "all"}},
       {"layer_widths", "layer_heads = true", "layer_supervision"},
       "--layer_heads=true"},
      {{{"layer_widths", growing}, {"tie_head", "false"}, {"halt_rule", "max"}},
       {"layer_widths", "layer_heads = true", "halt_rule"},
       "--layer_heads=true"},
      {{{"layer_widths", growing}, {"tie_head", "false"}, {"layer_supervision", "[1, 1, 1, 1]"}},
       {"layer_widths", "layer_heads = true"},
       "--layer_heads=true"},
      {{{"layer_heads", "true"}},
       {"layer_heads = true", "tie_head = true", "layer_tables = true"},
       "--layer_tables=true"},
      {{{"layer_supervision", "skip_easy"}},
       {"layer_supervision = skip_easy", "halt_rule"},
       "--halt_rule=max"},
      {{{"objective", "skip_easy"}},
       {"objective = skip_easy needs a halt_rule"},
       "add --halt_rule=max, or --objective=all"},
      {{{"objective", " skip_easy "}, {"halt_rule", "max"}, {"halt_use", "log"}},
       {"objective = skip_easy with halt_use = log"},
       "add --halt_use=answer, or --objective=all"},
  });
}

TEST(ModelConfig, WhatOnlyLooksLikeAContradictionIsTaken) {
  const char* const growing = "[32, 64, 64, 128]";
  for (const Settings& settings : std::vector<Settings>{
           // Only the last layer reads out, at the width of its head.
           {{"layer_widths", growing}, {"tie_head", "false"}},
           {{"layer_widths", "[128, 128, 128, 128]"}},
           {{"layer_widths", "[128, 128, 128, 128]"}, {"halt_rule", "max"}},
           // Each head is tied to a table of its own width.
           {{"layer_widths", growing},
            {"layer_heads", "true"},
            {"layer_tables", "true"},
            {"layer_supervision", "all"}},
           {{"layer_heads", "true"}, {"layer_tables", "true"}},
           {{"layer_heads", "true"}, {"tie_head", "false"}},
           {{"layer_supervision", "skip_easy"}, {"halt_rule", "gold"}},
           {{"halt_thresholds", "[1, 1, 1, 1]"}},
           {{"skip_easy_weight", "token"}},
       })
    EXPECT_NO_THROW(resolved(kPreset, settings)) << settings.front().first;
}

TEST(ModelConfig, HidingATokenFromItselfByTheGoldRuleIsRemarkedOn) {
  const auto said = [](const char* rule, const char* mask_self) {
    return resolved(kPreset,
                    {{"halt_rule", rule}, {"mask_self", mask_self}, {"layer_supervision", "all"}})
        .notices;
  };
  ASSERT_EQ(said("gold", "true").size(), 1U);
  for (const char* part : {"halt_rule = gold", "mask_self = true", "leaks the label"})
    EXPECT_THAT(said("gold", "true")[0], HasSubstr(part));
  EXPECT_THAT(said("gold", "None"), IsEmpty());
  EXPECT_THAT(said("gold", "false"), IsEmpty());
  EXPECT_THAT(said("max", "true"), IsEmpty());
}

TEST(ModelConfig, RulesThatHaltNobodyBeforeTheLastLayerAreRemarkedOn) {
  const auto said = [](const char* rule, const char* threshold) {
    return resolved(
               kPreset,
               {{"halt_rule", rule}, {"halt_threshold", threshold}, {"layer_supervision", "all"}})
        .notices;
  };
  EXPECT_THAT(said("argmax", "2"), IsEmpty());
  EXPECT_THAT(said("argmax", "0"), IsEmpty());
  EXPECT_THAT(said("argmax", "None"),
              ElementsAre(HasSubstr("halt_rule = argmax with a halt_threshold of 5 lets no token "
                                    "halt before the last layer, 3")));
  EXPECT_THAT(said("argmax", "3"), ElementsAre(HasSubstr("halt_threshold of 3 lets no token")));
  EXPECT_THAT(said("fixed", "2"), IsEmpty());
  EXPECT_THAT(said("fixed", "3"), ElementsAre(HasSubstr("halt_rule = fixed with")));
  EXPECT_THAT(said("fixed", "12"), ElementsAre(HasSubstr("before the last layer, 3")));
  EXPECT_THAT(
      resolved(kPreset,
               {{"halt_rule", "argmax"}, {"halt_threshold", "0"}, {"layer_supervision", "last"}})
          .notices,
      ElementsAre(HasSubstr("layers 1, 2 answer")))
      << "at layer 0 nothing has stayed";
}

TEST(ModelConfig, TermsThatTeachNothingAreRemarkedOn) {
  const auto said = [](const char* objective, Settings settings = {}) {
    settings.emplace_back("objective", objective);
    return resolved(kPreset, settings).notices;
  };
  const Settings halts = {{"halt_rule", "max"}};
  EXPECT_THAT(said("conf_1"), IsEmpty());
  EXPECT_THAT(said("conf_5", halts), IsEmpty());
  EXPECT_THAT(said("a = ce; b = p [layers=4..-1]"),
              ElementsAre("objective: b has none of the 4 layers, and teaches nothing"));
  EXPECT_THAT(said("a = ce; b = p [weights=[0]]"), ElementsAre(HasSubstr("teaches nothing")));
  EXPECT_THAT(said("a = ce; b = prev.p [layers=0]"),
              ElementsAre(HasSubstr("b reads the layer before, and is of layer 0 alone")));
  EXPECT_THAT(said("a = ce; b = prev.p [layers=[0, 1]]"), IsEmpty());
  EXPECT_THAT(said("a = ce [layers=all, per=asked]"),
              ElementsAre("objective: a reads asked, and no token halts: all are asked at every "
                          "layer"));
  EXPECT_THAT(said("last_penalty"),
              ElementsAre(HasSubstr("loss reads answers"), HasSubstr("last reads answers")));
  EXPECT_THAT(said("expected", {{"halt_rule", "bernoulli"}, {"confidence_temperature", "2"}}),
              ElementsAre(HasSubstr("confidence_temperature = 2 is no part")));
  EXPECT_THAT(said("expected", {{"halt_rule", "bernoulli"}}), IsEmpty());
}

TEST(ModelConfig, LoopKeysThatContradictEachOtherAreRefused) {
  expect_refusals(
      {{{{"loop_groups", "[[1]]"}, {"loop_stop_probability", "0.5"}, {"loops_backprop_depth", "2"}},
        {"loop_stop_probability = 0.5", "loops_backprop_depth = 2"},
        "--loops_backprop_depth=None"},
       {{{"loop_counts", "[2]"}, {"loop_groups", "[]"}},
        {"loop_counts = [2]", "loop_groups = []"},
        "leave out --loop_counts"}});
  EXPECT_NO_THROW(resolved(
      kPreset,
      {{"loop_groups", "[[1]]"}, {"loop_stop_probability", "0.5"}, {"loops_backprop_depth", "0"}}));
  EXPECT_THAT(resolved(kPreset, {{"loop_counts", "[2]"}}).notices,
              ElementsAre(HasSubstr("loop_counts = [2] has no effect")));
}

// Both keys are named; what a file or a preset says is no contradiction.
TEST(ModelConfig, WhatWasTypedOfLoopsAndShiftsMustGoTogether) {
  const Settings::value_type loops = {"loop_groups", "[[1]]"}, rule = {"loop_halt_rule", "kl"},
                             no_exit = {"automatic_loop_exit", "false"},
                             plain = {"predict_ahead", "false"},
                             fixed = {"loop_sampling_strategy", "fixed"},
                             adds = {"concatenate_initial_representation", "false"};
  const std::vector<std::pair<Settings::value_type, Settings::value_type>> pairs = {
      {rule, no_exit},
      {{"loop_halt_threshold", "0.5"}, no_exit},
      {{"loop_halt_unit", "sequence"}, {"loop_halt_rule", "none"}},
      {{"max_shift", "4"}, plain},
      {{"label_shift_prob", "0.5"}, plain},
      {{"shift_dist", "uniform"}, plain},
      {{"shift", "2"}, plain},
      {{"label_shift_prob", "0.5"}, {"shift_dist", "uniform"}},
      {{"loop_sampling_rbar", "4.0"}, fixed},
      {{"loop_sampling_sigma", "1.0"}, {"loop_sampling_strategy", "uniform"}},
      {{"loop_sample_clamp", "4"}, fixed},
      {{"loop_sampling_unit", "sequence"}, fixed},
      {{"loop_counts_eval", "sampled"}, fixed},
      {{"loop_adapter", "group"}, adds},
      {{"loop_adapter_init", "half"}, adds},
      {{"max_loops", "4"}, {"loop_groups", "[]"}},
  };
  for (const auto& [key, against] : pairs) {
    const std::string said = key.first + " = " + key.second + " with " + against.first + " = " +
                             against.second + ": it needs ";
    SCOPED_TRACE(said);
    const bool groups = against.first == "loop_groups";
    for (const Settings& typed : {Settings{key, against}, Settings{against, key}}) {
      const Error e =
          refusal_of([&] { resolved(kPreset, typed, groups ? Settings{} : Settings{loops}); });
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_THAT(e.what(), ::testing::StartsWith(said));
      EXPECT_EQ(e.hint(), "leave out --" + key.first + " or --" + against.first);
    }
    for (const auto& [typed, file] : {std::pair{key, against}, std::pair{against, key}}) {
      Settings of_file = {file};
      if (!groups) of_file.push_back(loops);
      EXPECT_NO_THROW(resolved(kPreset, {typed}, of_file));
    }
  }
  // What asks for nothing contradicts nothing.
  EXPECT_NO_THROW(resolved(kPreset, {loops, no_exit, {"loop_halt_rule", "none"}}));
  EXPECT_NO_THROW(resolved(kPreset, {plain, {"shift_losses", "false"}}));
  EXPECT_NO_THROW(resolved(kPreset, {loops, fixed, {"loop_sampling_rbar", "None"}}));
  // A rule that only an evaluation goes by has the threshold.
  EXPECT_NO_THROW(resolved(kPreset, {loops,
                                     no_exit,
                                     {"loop_halt_threshold", "0.5"},
                                     {"evaluations", "val; exits: loop_halt_rule=kl"}}));
}

TEST(ModelConfig, ALikeliestTokenThatStaysTooLongIsRemarkedOn) {
  const auto said = [](const char* threshold) {
    return resolved(kPreset, {{"loop_groups", "[[1]]"},
                              {"loop_sampling_strategy", "fixed"},
                              {"max_loops", "4"},
                              {"loop_halt_rule", "argmax"},
                              {"loop_halt_threshold", threshold}})
        .notices;
  };
  EXPECT_THAT(said("2"), IsEmpty());
  EXPECT_THAT(said("3"),
              ElementsAre(HasSubstr("lets no token leave the loop of layer 1 before its end")));
}

}  // namespace
}  // namespace fathom
