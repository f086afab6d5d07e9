// Presets that loop and look ahead, the plain ones beside them, and the keys that their notebook
// types.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/sweep_recipe.h"
#include "recipe/config_testing.h"
#include "source_path.h"

namespace fathom {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::resolved;
using testing::Settings;

constexpr int64_t kShakespeareLetters = 65;

Value preset_value(RunConfig config, const std::string& key) {
  FieldList list;
  add_fields(list, config);
  return list.find(key)->value();
}
Value preset_value(const std::string& preset, const std::string& key) {
  return preset_value(preset_config(preset), key);
}

double preset_parameters(const std::string& preset) {
  return static_cast<double>(
      parameter_count(parameter_table(preset_config(preset).model, kShakespeareLetters)));
}
double preset_flops(const std::string& preset) {
  const ModelConfig model = preset_config(preset).model;
  return flops_per_token(model, kShakespeareLetters, model.backbone.block_size).forward();
}

// By hand: a layer has 12 C^2 weights and two norms, the loop's door 2 C^2 and a bias.
TEST(LoopedPresets, ThePlainOnesAreAsLargeAndAsExpensive) {
  const auto plain = [](double n_layer, double C) {
    return n_layer * (12 * C * C + 2 * C) + C + (kShakespeareLetters + 64) * C;
  };
  EXPECT_EQ(preset_parameters("looped_tiny"), plain(3, 128) + 2 * 128 * 128 + 128);
  EXPECT_EQ(preset_parameters("looped_tiny_params"), plain(3, 132));
  EXPECT_NEAR(preset_parameters("looped_tiny_params") / preset_parameters("looped_tiny"), 1, 0.01);
  // 4 iterations of 1 to 7: 6 layers, and 4 times the adapter.
  const auto layer = [](double C) { return 24 * C * C + 4 * 64 * C; };
  EXPECT_EQ(preset_flops("looped_tiny"),
            6 * layer(128) + 4 * 4 * 128 * 128 + 2 * kShakespeareLetters * 128);
  EXPECT_EQ(preset_flops("looped_tiny_flops"), 7 * layer(124) + 2 * kShakespeareLetters * 124);
  EXPECT_NEAR(preset_flops("looped_tiny_flops") / preset_flops("looped_tiny"), 1, 0.01);
}

TEST(LoopedPresets, TheThreeAreTrainedAlike) {
  const RunConfig looped = preset_config("looped_tiny");
  for (const char* name : {"looped_tiny_params", "looped_tiny_flops"}) {
    EXPECT_EQ(preset_value(name, "loop_groups"), Value::array()) << name;
    const RunConfig plain = preset_config(name);
    EXPECT_EQ(plain.training.max_iters, looped.training.max_iters);
    EXPECT_EQ(plain.tokens_per_step(), looped.tokens_per_step());
    EXPECT_EQ(plain.optimizer.learning_rate, looped.optimizer.learning_rate);
    EXPECT_EQ(plain.data.dataset, looped.data.dataset);
  }
}

TEST(LoopedPresets, HaveTheNotebooksGroupsAndCounts) {
  const auto has = [](const char* preset, const char* groups, int64_t most) {
    EXPECT_EQ(preset_value(preset, "loop_groups"), Value::parse(groups)) << preset;
    EXPECT_EQ(preset_value(preset, "max_loops"), most) << preset;
  };
  has("looped_fineweb", "[[1, 2], [3]]", 30);
  has("looped_shakespeare", "[[2], [3], [4]]", 20);
  has("looped_gpt2", "[[4], [5, 6], [7]]", 30);
  has("looped_tiny", "[[1]]", 7);
  has("looped_nested", "[[[1], [2]]]", 3);
  EXPECT_EQ(preset_value("looped", "loop_groups"), "auto");
  for (const char* preset : {"looped", "looped_fineweb", "looped_gpt2"}) {
    const RunConfig c = preset_config(preset);
    std::vector<std::string> fixed;
    for (const EvaluationSpec& e : parse_evaluations(c.training.evaluations, c.model))
      for (const auto& [key, value] : e.settings) fixed.push_back(key + "=" + value);
    EXPECT_THAT(fixed, ElementsAre("max_loops=1", "max_loops=5", "max_loops=15", "max_loops=30"))
        << preset;
  }
  EXPECT_EQ(preset_value("looped_gpt2", "block_style"), "sandwich");
  EXPECT_EQ(preset_value("looped_huginn", "block_style"), "huginn");
  EXPECT_EQ(preset_value("looped_gpt2", "loop_sampling_strategy"), "log_poisson");
  EXPECT_EQ(preset_value("looped_fineweb", "spectral_clip_beta"), 0.9);
  for (const char* preset : {"ahead", "ahead_tiny", "looped_ahead"}) {
    EXPECT_EQ(preset_value(preset, "predict_ahead"), true) << preset;
    EXPECT_EQ(preset_value(preset, "max_shift"), 10) << preset;
  }
  EXPECT_EQ(preset_value("looped_ahead", "loop_groups"),
            preset_value("looped_tiny", "loop_groups"));
}

// As a line of its config files or of its command line has them.
TEST(LoopNotebook, EveryKeyIsAccepted) {
  const Settings typed = {{"n_layer", "6"},
                          {"n_head", "6"},
                          {"n_embd", "384"},
                          {"block_size", "512"},
                          {"dropout", "0.0"},
                          {"bias", "False"},
                          {"loop_groups", "[[1,2],[3]]"},
                          {"loop_counts", "[2,3]"},
                          {"max_loops", "30"},
                          {"loop_noise_scale", "0.0"},
                          {"concatenate_initial_representation", "True"},
                          {"loops_backprop_depth", "None"},
                          {"loop_sampling_strategy", "log_poisson"},
                          {"loop_sampling_rbar", "32.0"},
                          {"loop_sampling_sigma", "0.5"},
                          {"effective_n_layer", "27.0"},
                          {"automatic_loop_exit", "False"},
                          {"automatic_loop_exit_mode", "step_norm_diff"},
                          {"automatic_loop_exit_threshold", "0.01"},
                          {"enable_auto_exit_eval", "True"},
                          {"loops_representation", "False"},
                          {"track_convergence_diagnostics", "True"},
                          {"track_global_diagnostics", "True"},
                          {"calculate_jacobian", "False"},
                          {"calculate_jacobian_trajectory", "False"},
                          {"spectral_clip_beta", "0.9"},
                          {"use_muon", "False"},
                          {"muon_lr", "1e-3"},
                          {"muon_momentum", "0.95"},
                          {"muon_nesterov", "True"},
                          {"muon_ns_steps", "5"},
                          {"predict_ahead", "False"},
                          {"max_shift", "10"},
                          {"label_shift_prob", "0.8"},
                          {"use_baseline_model", "False"},
                          {"use_model_baseline", "False"},
                          {"learning_rate", "6e-4"},
                          {"min_lr", "6e-5"},
                          {"warmup_iters", "2000"},
                          {"lr_decay_iters", "60000"},
                          {"max_iters", "60000"},
                          {"grad_clip", "1.0"},
                          {"weight_decay", "1e-1"},
                          {"beta1", "0.9"},
                          {"beta2", "0.95"},
                          {"gradient_accumulation_steps", "4"},
                          {"batch_size", "12"},
                          {"eval_interval", "100"},
                          {"eval_iters", "200"},
                          {"log_interval", "10"},
                          {"seed", "1337"},
                          {"always_save_checkpoint", "False"},
                          {"wandb_log", "True"},
                          {"wandb_project", "loops"},
                          {"wandb_run_name", "small"},
                          {"compile", "False"},
                          {"dtype", "float32"},
                          {"backend", "nccl"},
                          {"input", "shards"}};
  RunConfig config = preset_config("looped");
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : typed)
    EXPECT_NO_THROW(list.set_text(key, text, "--" + key)) << key;
  EXPECT_EQ(config.data.dataset, "shards");
  EXPECT_THAT(list.notices(),
              Contains(HasSubstr("calculate_jacobian has no effect: `fathom loops")));
}

TEST(LoopNotebook, ATreeOfGroupsIsToldItsKey) {
  const Error e = refusal_of([] { resolved("looped", {{"hierarchical_spec", "[[[1],[2]]]"}}); });
  EXPECT_THAT(e.what(), HasSubstr("hierarchical_spec is not supported"));
  EXPECT_THAT(e.hint(), HasSubstr("--loop_groups=[[[1],[2]]]"));
}

TEST(LoopNotebook, MuonIsSwitchedOnAndOff) {
  const auto optimizer = [](const Settings& typed) {
    return resolved("gpt2ish_shakespeare", typed).config.optimizer.optimizer;
  };
  EXPECT_EQ(optimizer({{"use_muon", "True"}}), "muon");
  EXPECT_EQ(optimizer({{"use_muon", "False"}}), "adamw");
  EXPECT_EQ(optimizer({{"optimizer", "muon"}, {"use_muon", "False"}}), "adamw");
  EXPECT_EQ(optimizer({{"optimizer", "sgd"}, {"use_muon", "False"}}), "sgd");
  EXPECT_EQ(optimizer({{"use_muon", "True"}, {"optimizer", "sgd"}}), "sgd");
  EXPECT_EQ(optimizer({{"optimizer", "muon"}, {"use_muon", "None"}}), "muon");
}

TEST(LoopNotebook, AutomaticExitIsOneMoreEvaluation) {
  const auto last = [](const Settings& typed) {
    const RunConfig c = resolved("looped_tiny", typed).config;
    const EvaluationSpec e = parse_evaluations(c.training.evaluations, c.model).back();
    return std::pair(e.name, e.settings);
  };
  const auto [name, settings] = last({{"enable_auto_exit_eval", "True"}});
  EXPECT_EQ(name, "auto_exit");
  EXPECT_EQ(settings, (Settings{{"automatic_loop_exit", "true"},
                                {"loop_halt_rule", "rel_latent"},
                                {"max_loops", "7"}}));
  EXPECT_EQ(last({{"enable_auto_exit_eval", "True"}, {"loop_halt_rule", "acceleration"}}).second[1],
            (Settings::value_type{"loop_halt_rule", "acceleration"}));
  EXPECT_NE(last({{"enable_auto_exit_eval", "False"}}).first, "auto_exit");
  // A run's own config.toml has it among its evaluations, and what is typed again adds no other.
  EXPECT_EQ(last({{"evaluations", "val; auto_exit: loop_halt_rule=argmax"},
                  {"enable_auto_exit_eval", "True"}})
                .second,
            (Settings{{"loop_halt_rule", "argmax"}}));
}

TEST(LoopNotebook, MaxLoopsOfAnEvaluationIsHowOftenAllGroupsRun) {
  const auto counts = [](const char* preset, const char* times) {
    const RunConfig config = preset_config(preset);
    EvaluationSpec line;
    line.name = "line";
    line.settings = {{"max_loops", times}};
    RunConfig changed = config;
    changed.model = with_settings(line, config.model);
    EXPECT_EQ(preset_value(changed, "max_loops"), preset_value(config, "max_loops"));
    return preset_value(changed, "loop_counts");
  };
  EXPECT_EQ(counts("looped_tiny", "9"), Value::parse("[9]")) << "beyond what was trained";
  EXPECT_EQ(counts("looped", "2"), Value::parse("[2]"));
  EXPECT_EQ(counts("looped_fineweb", "1"), Value::parse("[1, 1]"));
  EXPECT_EQ(counts("looped_nested", "3"), Value::parse("[3, 3, 3]"));
  EXPECT_EQ(counts("gpt2ish", "3"), Value::array());
  EXPECT_THAT(refusal_of([&] { counts("looped_tiny", "0"); }).what(), HasSubstr("max_loops = 0"));
}

TEST(LoopedRecipe, ComparesThreeModelsAtThreeSeeds) {
  const SweepRecipe recipe =
      read_sweep_file(testing::source_path("experiments/looped/recipes/looped_vs_plain.toml"));
  const std::vector<SweepRun> runs = runs_of(recipe, "");
  ASSERT_EQ(runs.size(), 9U);
  std::vector<std::string> presets;
  for (size_t i = 0; i < 3; ++i) presets.push_back(runs[i].words.front());
  EXPECT_THAT(presets, ElementsAre("looped_tiny", "looped_tiny_params", "looped_tiny_flops"));
  EXPECT_EQ(runs[0].name, "looped_vs_plain-looped-s1");
}

}  // namespace
}  // namespace fathom
