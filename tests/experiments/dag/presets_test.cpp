// The DAG as data: its plan, parameters, presets and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "experiments/dag/dag_config.h"
#include "fathom/config/config_file.h"
#include "fathom/train/recipe/decay.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/schedule.h"
#include "fathom/train/recipe/stage_runs.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::dag_config;
using testing::DagKeys;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;

constexpr int64_t kGpt2Rows = 50304;

std::map<std::string, int64_t> counts_by_part(const ModelConfig& config, int64_t vocab_size) {
  std::map<std::string, int64_t> sums;
  for (const ParameterSpec& spec : parameter_table(config, vocab_size))
    sums[part_name(spec.part)] += spec.count();
  return sums;
}

// Block by block by hand: 12 H^2 and two norms each, of which there are three; the norm behind the
// first; H to H to 2 S; the cross attention and its norm; H to H to D N.
TEST(DagPresets, ThePredictorHasTheNotebooksParameters) {
  const ModelConfig config = preset_config("dag_predictor").model;
  const int64_t H = 32, blocks = 3 * (12 * H * H + 2 * H), values = H * H + H + (H + 1) * 10;
  const int64_t operations = H * H + H + (H + 1) * 20;
  EXPECT_EQ(blocks, 3 * 12352);
  EXPECT_EQ(values, 1386);
  EXPECT_EQ(operations, 1716);
  auto counts = counts_by_part(config, kGpt2Rows);
  EXPECT_EQ(counts["token table"], 1609728);
  EXPECT_EQ(counts["own"], values + operations);
  int64_t total = 0;
  for (const auto& [part, count] : counts) total += count;
  EXPECT_EQ(total - counts["position table"], 1654046);
  EXPECT_EQ(total - counts["position table"] - counts["token table"],
            blocks + H + values + 4 * H * H + H + operations);
}

TEST(DagPresets, EveryOneIsResolved) {
  for (const Preset& preset : registry().presets()) {
    if (preset.experiment != "dag") continue;
    SCOPED_TRACE(preset.name);
    EXPECT_NO_THROW(resolved(preset.name));
    const bool predictor = preset.name.rfind("dag_predictor", 0) == 0;
    const DepthPlan plan = make_depth_plan(preset_config(preset.name).model);
    EXPECT_EQ(predicts_next_token(plan), !predictor);
    EXPECT_TRUE(plan.causal);
  }
}

TEST(DagPresets, OfPredictorsHaveTheNotebooksRecipes) {
  const RunConfig cpu = resolved("dag_predictor").config;
  EXPECT_EQ(cpu.sequences_per_step(), 4);
  EXPECT_EQ(cpu.optimizer.learning_rate, 3e-4);
  const RunConfig cloud = resolved("dag_predictor_cloud").config;
  EXPECT_EQ(cloud.sequences_per_step(), 16384);
  EXPECT_EQ(cloud.model.backbone.n_embd, 768);
  EXPECT_EQ(cloud.model.own.integer("dag_depth"), 6);
  const RunConfig readme = resolved("dag_predictor_readme").config;
  EXPECT_EQ(readme.optimizer.learning_rate, 1e-3);
  EXPECT_EQ(parameter_count(parameter_table(readme.model, kGpt2Rows)),
            parameter_count(parameter_table(cpu.model, kGpt2Rows)));
  for (const ParameterSpec& spec : parameter_table(cpu.model, 50))
    EXPECT_TRUE(decays(spec, cpu.optimizer.decay_rule)) << spec.name;
}

TEST(DagPresets, TheConfigFileSaysWhatThePresetDoes) {
  const auto typed = [](const char* preset, const char* stem) {
    RunConfig config = preset_config(preset);
    FieldList list;
    add_fields(list, config);
    const ShippedConfig* file = registry().config("dag", stem);
    EXPECT_NE(file, nullptr);
    read_config_text(file->text, file->stem + file->ending, list);
    resolve(list, config);
    FieldList after;
    add_fields(after, config);
    return to_toml(after);
  };
  RunConfig preset = resolved("dag_predictor").config;
  FieldList list;
  add_fields(list, preset);
  EXPECT_EQ(typed("dag_predictor", "train_predictor_config"), to_toml(list));
  EXPECT_THAT(typed("dag", "train_default"), HasSubstr("dag_depth = 0"));
}

// The file's comment has a command line for a large GPU: the cloud preset's settings.
TEST(DagPresets, TheConfigFilesCommentIsACommandLine) {
  const ShippedConfig* file = registry().config("dag", "train_predictor_config");
  ASSERT_NE(file, nullptr);
  RunConfig config = preset_config("dag_predictor");
  FieldList list;
  add_fields(list, config);
  read_config_text(file->text, file->stem + file->ending, list);
  std::istringstream words(file->text.substr(0, file->text.find("\ndataset")));
  int typed = 0;
  for (std::string word; words >> word;)
    if (word.rfind("--", 0) == 0) {
      const size_t equals = word.find('=');
      list.set_text(word.substr(2, equals - 2), word.substr(equals + 1), "--");
      ++typed;
    }
  EXPECT_GT(typed, 10);
  resolve(list, config);
  RunConfig cloud = resolved("dag_predictor_cloud").config;
  config.preset = cloud.preset;
  FieldList as_typed, as_preset;
  add_fields(as_typed, config);
  add_fields(as_preset, cloud);
  EXPECT_EQ(to_toml(as_typed), to_toml(as_preset));
}

TEST(DagPresets, ThoseForCharactersHaveWhatWasMeasured) {
  for (const char* preset : {"dag_predictor_small", "dag_predictor_small_d4"}) {
    const RunConfig config = resolved(preset).config;
    const dag::DagSettings settings = dag::settings_of(config.model.own);
    EXPECT_EQ(settings.softmax_temperature, 2);
    EXPECT_EQ(settings.log_loss_weight, 10);
    EXPECT_EQ(config.sequences_per_step(), 64);
    EXPECT_EQ(config.data.numbers.max_decimals, 1);
  }
}

// Nobody published these: a run of another length is a whole one, with the least rate at its end.
TEST(DagPresets, ThoseForCharactersDecayOverTheStepsThatAreTyped) {
  for (const char* preset : {"dag_predictor_small", "dag_predictor_small_d4", "dag_small"})
    for (const char* steps : {"3000", "7000"}) {
      const RunConfig config = resolved(preset, {{"max_iters", steps}}).config;
      const double peak = config.optimizer.learning_rate;
      EXPECT_DOUBLE_EQ(learning_rate_at(config, config.training.max_iters),
                       config.schedule.min_lr.value_or(peak / 10))
          << preset;
      EXPECT_GT(learning_rate_at(config, config.training.max_iters / 2), 0.3 * peak) << preset;
    }
}

TEST(DagSettings, HaveTheExecutorsOperationsOrThoseNamed) {
  const auto operations = [](const DagKeys& keys) {
    return dag::settings_of(dag_config(keys).own).operations;
  };
  using O = Operation;
  EXPECT_EQ(operations({}), (std::vector<O>{O::kAdd, O::kIdentity, O::kMultiply, O::kSubtract}));
  EXPECT_EQ(operations({{"dag_executor", "stack"}}).size(), 5U);
  EXPECT_EQ(operations({{"dag_ops", "multiply, add"}}), (std::vector<O>{O::kMultiply, O::kAdd}));
}

TEST(DagSettings, AreRefusedWhereTheyHaveNoMeaning) {
  const auto plan = [](const DagKeys& keys) {
    return refusal_of([&] { make_depth_plan(dag_config(keys)); });
  };
  EXPECT_THAT(plan({{"max_dag_depth", "4"}}).what(),
              HasSubstr("max_dag_depth = 4 and dag_depth = 3"));
  EXPECT_THAT(plan({{"dag_ops", "add, modulo"}}).what(), HasSubstr("modulo"));
  EXPECT_THROW(dag_config({{"dag_depth", "-1"}}), Error);
  EXPECT_THROW(dag_config({{"dag_depth", "0"}}, /*predictor=*/true), Error);
  EXPECT_THROW(dag_config({{"softmax_temperature", "0"}}), Error);
}

TEST(DagSettings, OfAPredictorAreAStacks) {
  const Error e = refusal_of([] {
    make_depth_plan(dag_config({{"dag_executor", "scratch"}}, /*predictor=*/true));
  });
  EXPECT_THAT(e.what(), HasSubstr("dag_executor = scratch"));
  for (const char* key :
       {"dag_mix", "dag_scale", "dag_post_block", "dag_embed_top", "dag_after", "plan_loss_weight",
        "lm_loss_weight", "freeze_gpt", "predictor_lr", "predictor_trunk"}) {
    const Error foreign = refusal_of([&] { dag_config({{key, "1"}}, /*predictor=*/true); });
    EXPECT_THAT(foreign.hint(), HasSubstr("full model")) << key;
  }
}

// Of a full model's keys, those that do nothing are told, and why.
TEST(DagSettings, WithoutEffectAreTold) {
  using ::testing::Contains;
  using ::testing::Not;
  const auto told = [](const testing::Settings& typed) {
    return resolved("dag_small_stack", typed).notices;
  };
  for (const auto& [key, text] : testing::Settings{{"dag_select", "gumbel"},
                                                   {"dag_log_limit", "3"},
                                                   {"dag_scale", "1"},
                                                   {"plan_loss_weight", "2"},
                                                   {"dag_ops", "add"},
                                                   {"dag_adapter", "True"}}) {
    const auto needs =
        Contains(::testing::AllOf(HasSubstr(key + " = "), HasSubstr("it needs dag_depth > 0")));
    EXPECT_THAT(told({{"dag_depth", "0"}, {key, text}}), needs);
    EXPECT_THAT(told({{key, text}}), Not(needs));
  }
  EXPECT_THAT(told({{"dag_depth", "0"}, {"lm_loss_weight", "2"}}),
              ::testing::ElementsAre(HasSubstr("numbers_depth = 4: with dag_depth = 0")))
      << "the data would be another than the model's with a DAG";
  EXPECT_EQ(told({{"dag_depth", "0"}, {"lm_loss_weight", "2"}, {"numbers_depth", "2"}}).size(), 0U);
  for (const char* key : {"plan_loss_weight", "sign_loss_weight", "log_loss_weight",
                          "op_loss_weight", "dag_targets"}) {
    const char* const text = std::string(key) == "dag_targets" ? "sequence" : "2";
    const auto idle = [&](const char* why) {
      return Contains(::testing::AllOf(HasSubstr(std::string(key) + " = "), HasSubstr(why)));
    };
    EXPECT_THAT(told({{key, text}}), idle("stream_share = 1"));
    EXPECT_EQ(told({{key, text}, {"stream_share", "0.5"}}).size(), 0U) << key;
    const auto of_lines = told({{key, text}, {"stream_labels", "True"}});
    if (std::string(key) == "dag_targets")
      EXPECT_THAT(of_lines, idle("none of a sequence as a whole"));
    else
      EXPECT_EQ(of_lines.size(), 0U) << key;
    EXPECT_THAT(told({{key, text},
                      {"stream_share", "0"},
                      {"dag_executor", "scratch"},
                      {"dag_mix", "ln_scale"}}),
                idle("it needs dag_executor = stack"));
  }
  const auto temperature = [&](const char* key, const char* select) {
    return told({{"dag_select", select}, {key, "3"}}).size();
  };
  for (const char* select : {"soft", "st_argmax"}) {
    EXPECT_EQ(temperature("softmax_temperature", select), 0U);
    EXPECT_EQ(temperature("gumbel_temperature", select), 1U);
  }
  for (const char* select : {"gumbel", "gumbel_st"}) {
    EXPECT_EQ(temperature("softmax_temperature", select), 1U);
    EXPECT_EQ(temperature("gumbel_temperature", select), 0U);
  }
}

// Where an objective has nothing in the data, or no part has a weight, training does not begin.
TEST(DagSettings, ThatLeaveNothingToLearnAreRefused) {
  const auto refused = [](const char* preset, const testing::Settings& typed) {
    return std::string(refusal_of([&] {
                         std::vector<std::string> notices;
                         open_data(resolved(preset, typed).config, notices);
                       }).what());
  };
  const auto taken = [](const char* preset, const testing::Settings& typed) {
    std::vector<std::string> notices;
    return open_data(resolved(preset, typed).config, notices).size();
  };
  const testing::Settings::value_type no_token = {"lm_loss_weight", "0"},
                                      examples = {"stream_share", "0"};
  EXPECT_THAT(refused("dag_small_stack", {no_token}), HasSubstr("stream_share = 1"));
  EXPECT_THAT(refused("dag_small_stack", {no_token, examples, {"plan_loss_weight", "0"}}),
              HasSubstr("plan_loss_weight = 0"));
  EXPECT_THAT(refused("dag_small_stack", {no_token, examples, {"dag_depth", "0"}}),
              HasSubstr("dag_depth = 0"));
  EXPECT_THAT(refused("dag_small", {no_token, examples}), HasSubstr("dag_executor = scratch"));
  EXPECT_EQ(taken("dag_small_stack", {no_token, examples}), 1U);
  const char* const kPredictor = "dag_predictor_small";
  EXPECT_EQ(taken(kPredictor, {}), 1U);
  EXPECT_THAT(refused(kPredictor, {{"stream_share", "1"}}), HasSubstr("stream_share = 1"));
  const testing::Settings::value_type streams = {"stream_share", "1"},
                                      lines = {"stream_labels", "True"};
  EXPECT_EQ(taken(kPredictor, {streams, lines}), 1U);
  EXPECT_THAT(refused(kPredictor, {streams, lines, {"dag_targets", "sequence"}}),
              HasSubstr("none of a sequence as a whole"));
  EXPECT_THAT(refused("dag_small_stack", {no_token, lines, {"dag_targets", "sequence"}}),
              HasSubstr("none of a sequence as a whole"));
  EXPECT_THAT(refused(kPredictor, {streams, lines, {"block_size", "3"}}),
              HasSubstr("block_size = 3"));
  EXPECT_THAT(refused(kPredictor, {{"dataset", "rain"}}), HasSubstr("dataset = \"rain\""));
  EXPECT_THAT(refused(kPredictor, {{"block_size", "3"}}), HasSubstr("block_size = 3"));
  EXPECT_THAT(
      refused(kPredictor,
              {{"sign_loss_weight", "0"}, {"log_loss_weight", "0"}, {"op_loss_weight", "0"}}),
      HasSubstr("op_loss_weight are 0"));
}

// No label is a number that the model has no way to say, and the hint is one that is taken.
TEST(DagSettings, WhoseNumbersDoNotReachTheLabelsAreRefused) {
  const char* const kPredictor = "dag_predictor_small";
  const auto refused = [&](const testing::Settings& typed) {
    const Error e = refusal_of([&] { resolved(kPredictor, typed); });
    testing::Settings hinted = typed;
    const size_t begin = e.hint().find('=') + 1;
    hinted.emplace_back("dag_value_limit",
                        e.hint().substr(begin, e.hint().find(' ', begin) - begin));
    EXPECT_NO_THROW(resolved(kPredictor, hinted)) << e.hint();
    return std::string(e.what());
  };
  EXPECT_EQ(refused({{"value_range", "[-1000000, 1000000]"}}),
            "value_range = [-1000000, 1000000] has numbers of up to 1e+06, and with "
            "dag_value_limit = 10 the model says none beyond 22026.5");
  EXPECT_THAT(refused({{"dag_value_limit", "1"}}),
              ::testing::AllOf(HasSubstr("value_range = [-10, 10]"), HasSubstr("beyond 2.71828")));
  EXPECT_THAT(refused({{"max_digits", "5"}}), HasSubstr("max_digits = 5"));
  EXPECT_NO_THROW(resolved(kPredictor, {{"value_range", "[-22000, 22000]"}}));
  EXPECT_NO_THROW(resolved(kPredictor, {{"max_digits", "4"}}));
  // Of a map's own size, and of what no label asks for.
  const testing::Settings::value_type wide = {"value_range", "[-1000000, 1000000]"};
  EXPECT_NO_THROW(resolved(kPredictor, {wide, {"dag_domain", "linear"}}));
  EXPECT_NO_THROW(resolved("dag_small_stack", {wide}));
  EXPECT_NO_THROW(
      resolved("dag_small_stack", {wide, {"stream_share", "0.5"}, {"plan_loss_weight", "0"}}));
  EXPECT_THROW(resolved("dag_small_stack", {wide, {"stream_share", "0.5"}}), Error);
  // A run that has such numbers goes on.
  RunConfig run = resolved(kPredictor, {wide, {"dag_value_limit", "14"}}).config;
  run.model.own.number("dag_value_limit", 0) = 10;
  FieldList list;
  add_fields(list, run);
  EXPECT_NO_THROW(resolve(list, run));
}

// Numbers are made of the model's operations, and others that it is to learn are refused.
TEST(DagSettings, SayWhichOperationsAreDrawn) {
  const auto drawn = [](testing::Settings typed) {
    typed.insert(typed.begin(), {"stream_share", "0"});
    return operations_of(numbers_of(resolved("dag_small_stack", typed).config));
  };
  const auto refused = [&](const testing::Settings& typed) {
    return std::string(refusal_of([&] { drawn(typed); }).what());
  };
  using O = Operation;
  const testing::Settings::value_type ops = {"dag_ops", "add, multiply, identity"};
  EXPECT_EQ(drawn({}).size(), 5U);
  EXPECT_EQ(drawn({ops}), (std::vector<O>{O::kAdd, O::kMultiply, O::kIdentity}));
  EXPECT_EQ(drawn({ops, {"number_operations", "add"}}), std::vector<O>{O::kAdd});
  EXPECT_THAT(refused({ops, {"number_operations", "add, divide"}}),
              ::testing::AllOf(HasSubstr("number_operations = \"add, divide\""),
                               HasSubstr("dag_ops = \"add, multiply, identity\"")));
  EXPECT_THAT(refused({{"dag_ops", "add, multiply"}}),
              ::testing::AllOf(HasSubstr("dag_ops"), HasSubstr("number_identity = pad")));
  EXPECT_EQ(drawn({{"dag_ops", "add, multiply"}, {"number_identity", "none"}}).size(), 2U);
  // Nobody is asked for what is not learned.
  for (const testing::Settings::value_type& beside :
       testing::Settings{{"stream_share", "1"}, {"plan_loss_weight", "0"}, {"op_loss_weight", "0"}})
    EXPECT_EQ(drawn({ops, {"number_operations", "divide"}, beside}), std::vector<O>{O::kDivide});
  EXPECT_EQ(drawn({{"dag_executor", "scratch"}, {"dag_mix", "ln_scale"}}).size(), 5U);
}

// No weight decay pulls at the fold.
TEST(DagParameters, OfTheFoldDoNotDecay) {
  for (const char* mix : {"gate", "ln_scale"})
    for (const ParameterSpec& spec : parameter_table(dag_config({{"dag_mix", mix}}), 11)) {
      const bool folds = spec.init.kind == InitRule::kConstant;
      EXPECT_EQ(folds && decays(spec, DecayRule::kAll), false) << spec.name;
      EXPECT_TRUE(!folds || spec.init.scale == (std::string(mix) == "gate" ? -2 : 0.1));
    }
}

}  // namespace
}  // namespace fathom
