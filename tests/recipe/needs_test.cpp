// What a key needs is said by its field, and told when the key is given in vain.
#include <gmock/gmock.h>

#include <iterator>
#include <set>

#include "effect_lists.h"
#include "recipe/in_vain.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InVain;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::resolved;
using testing::Settings;
using ::testing::StartsWith;

std::vector<InVain> in_vain() {
  const Settings halts = {{"halt_rule", "max"}, {"layer_supervision", "all"}};
  const Settings draws = {{"halt_rule", "bernoulli"}, {"layer_supervision", "all"}};
  const Settings constant = {{"decay_lr", "false"}}, ahead = {{"predict_ahead", "true"}};
  const Settings leaves = {{"loop_halt_rule", "kl"}, {"loop_groups", "auto"}};
  const char* const kRule = "a loop_halt_rule that acts (automatic_loop_exit)";
  const char* const kMoments = "optimizer = adamw, adam, muon or schedule_free_adamw";
  const char* const kClips = "spectral_clip_beta > 0";
  const char* const kNewtonSchulz =
      "optimizer = muon, or spectral_clip_beta > 0 with spectral_method = reference_ns5";
  const auto plus = [](Settings settings, const char* key, const char* text) {
    return settings.emplace_back(key, text), settings;
  };
  return {
      {"dropout",
       "0.3",
       "attn_dropout, residual_dropout or embed_dropout = None",
       {{"attn_dropout", "0"}, {"residual_dropout", "0"}, {"embed_dropout", "0"}},
       {{"attn_dropout", "None"}}},
      {"mask_history", "previous", "a halt_rule", {}, halts},
      {"mask_history",
       "previous",
       "halt_use = answer",
       plus(halts, "halt_use", "log"),
       {{"halt_use", "answer"}}},
      {"mask_self",
       "true",
       "halt_use = answer",
       plus(halts, "halt_use", "log"),
       {{"halt_use", "answer"}}},
      {"mask_self",
       "true",
       "hidden keys (halt_keys)",
       plus(halts, "halt_keys", "seen"),
       {{"halt_keys", "hidden"}}},
      {"halt_threshold", "0.5", "another halt_rule than bernoulli", draws, {{"halt_rule", "max"}}},
      {"halt_thresholds",
       "[1,1,1,1,1,1]",
       "another halt_rule than bernoulli",
       draws,
       {{"halt_rule", "max"}}},
      {"halt_keys", "frozen", "a halt_rule", {}, halts},
      {"halt_keys",
       "frozen",
       "halt_use = answer",
       plus(halts, "halt_use", "log"),
       {{"halt_use", "answer"}}},
      {"halt_use", "log", "a halt_rule", {}, halts},
      {"halt_in_eval", "expect", "halt_rule = bernoulli", {}, draws},
      {"halt_cap", "0.5", "halt_rule = bernoulli", {}, draws},
      {"mask_self", "true", "a halt_rule", {}, halts},
      {"halt_threshold", "0.5", "a halt_rule", {}, halts},
      {"halt_threshold",
       "0.5",
       "halt_thresholds = None",
       plus(halts, "halt_thresholds", "[1,1,1,1,1,1]"),
       {{"halt_thresholds", "None"}}},
      {"halt_thresholds", "[1,1,1,1,1,1]", "a halt_rule", {}, halts},
      {"confidence_temperature", "2", "a halt_rule", {}, halts},
      {"activation",
       "gelu_tanh",
       "block_style = gpt2",
       {{"block_style", "huginn"}},
       {{"block_style", "gpt2"}}},
      {"rms_norm_eps",
       "1e-4",
       "block_style = sandwich or huginn, or norm_kind = rms",
       {},
       {{"block_style", "huginn"}}},
      {"effective_n_layer",
       "9",
       "init = takase, takase_tied or huginn, or residual_scaling",
       {},
       {{"init", "takase"}}},
      {"loop_halt_rule",
       "kl",
       "automatic_loop_exit = None or true",
       {{"automatic_loop_exit", "false"}},
       {{"automatic_loop_exit", "None"}, {"loop_groups", "auto"}}},
      {"loop_halt_threshold", "0.5", kRule, {}, leaves},
      {"loop_halt_unit", "sequence", kRule, {}, leaves},
      {"loop_gate_entropy",
       "0.5",
       "loop_halt_gate = true",
       {},
       {{"loop_halt_gate", "true"}, {"loop_groups", "auto"}}},
      {"layer_supervision",
       "all",
       "objective = None",
       {{"objective", "last"}},
       {{"objective", "None"}}},
      {"supervision_reduce",
       "sum",
       "objective = None",
       plus(halts, "objective", "last"),
       {{"objective", "None"}}},
      {"skip_easy_weight",
       "token",
       "objective = None",
       plus({{"halt_rule", "max"}, {"layer_supervision", "skip_easy"}}, "objective", "skip_easy"),
       {{"objective", "None"}}},
      {"supervision_reduce",
       "sum",
       "another layer_supervision than last",
       {},
       {{"layer_supervision", "all"}}},
      {"max_shift", "5", "predict_ahead = true", {}, ahead},
      {"label_shift_prob", "0.5", "predict_ahead = true", {}, ahead},
      {"label_shift_prob",
       "0.5",
       "shift_dist = geometric",
       plus(ahead, "shift_dist", "uniform"),
       {{"shift_dist", "geometric"}}},
      {"shift_dist", "uniform", "predict_ahead = true", {}, ahead},
      {"shift_zipf_a", "2", "predict_ahead = true", {{"shift_dist", "zipf"}}, ahead},
      {"shift_zipf_a", "2", "shift_dist = zipf", ahead, {{"shift_dist", "zipf"}}},
      {"shift", "3", "predict_ahead = true", {}, ahead},
      {"shift_losses", "false", "predict_ahead = true", {}, ahead},
      {"skip_easy_weight",
       "token",
       "layer_supervision = skip_easy",
       halts,
       {{"layer_supervision", "skip_easy"}}},
      {"sample_prompt",
       "Once",
       "sample_interval, or log_format = notebook",
       {},
       {{"log_format", "notebook"}}},
      {"gradient_accumulation_steps",
       "1",
       "mini_batch_size = None",
       {{"mini_batch_size", "4"}},
       {{"mini_batch_size", "None"}}},
      {"row_overlap",
       "3",
       "long_rows = continue",
       {{"long_rows", "trim"}},
       {{"long_rows", "continue"}}},
      {"fresh_rows",
       "true",
       "long_rows = continue or sentences",
       {{"long_rows", "trim"}},
       {{"long_rows", "sentences"}}},
      {"mixture", "all_exhausted", "several names in dataset", {}, {{"dataset", "a,b"}}},
      {"mixture_weights",
       "[1, 2]",
       "several names in dataset",
       {{"mixture", "weighted"}},
       {{"dataset", "a,b"}}},
      {"mixture_weights",
       "[1, 2]",
       "mixture = weighted",
       {{"dataset", "a,b"}},
       {{"mixture", "weighted"}}},
      {"decay_rule",
       "mlp_and_head",
       "weight_decay > 0",
       {{"weight_decay", "0"}},
       {{"weight_decay", "0.1"}}},
      {"beta1", "0.8", kMoments, {{"optimizer", "sgd"}}, {{"optimizer", "adam"}}},
      {"beta2", "0.8", kMoments, {{"optimizer", "rmsprop"}}, {{"optimizer", "adamw"}}},
      {"adam_eps",
       "1e-6",
       "optimizer = adamw, adam, adagrad, rmsprop, muon or schedule_free_adamw",
       {{"optimizer", "sgd"}},
       {{"optimizer", "adagrad"}}},
      {"muon_nesterov", "false", "optimizer = muon", {}, {{"use_muon", "true"}}},
      {"momentum", "0.8", "optimizer = sgd", {}, {{"optimizer", "sgd"}}},
      {"rmsprop_alpha", "0.8", "optimizer = rmsprop", {}, {{"optimizer", "rmsprop"}}},
      {"muon_lr", "0.01", "optimizer = muon", {}, {{"optimizer", "muon"}}},
      {"muon_momentum", "0.8", "optimizer = muon", {}, {{"optimizer", "muon"}}},
      {"muon_ns_steps", "3", kNewtonSchulz, {}, {{"optimizer", "muon"}}},
      {"muon_ns_steps",
       "3",
       kNewtonSchulz,
       {{"spectral_clip_beta", "1"}},
       {{"spectral_method", "reference_ns5"}}},
      {"spectral_method", "svd", kClips, {}, {{"spectral_clip_beta", "1"}}},
      {"spectral_every", "2", kClips, {}, {{"spectral_clip_beta", "1"}}},
      {"spectral_split_qkv", "true", kClips, {}, {{"spectral_clip_beta", "1"}}},
      {"optimizer_warmup_fraction",
       "0.5",
       "optimizer_warmup_steps > 0",
       {},
       {{"optimizer_warmup_steps", "40"}}},
      {"freeze",
       "head.*",
       "default_freeze = false",
       {{"default_freeze", "true"}},
       {{"default_freeze", "false"}}},
      {"unfreeze", "head.*", "freeze or default_freeze", {}, {{"freeze", "*"}}},
      {"warmup_iters", "7", "decay_lr = true", constant, {{"decay_lr", "true"}}},
      {"warmup_form", "from_zero", "decay_lr = true", constant, {{"decay_lr", "true"}}},
      {"warmup_form",
       "from_zero",
       "warmup_iters > 0",
       {{"warmup_iters", "0"}},
       {{"warmup_iters", "9"}}},
      {"lr_decay_iters", "700", "decay_lr = true", constant, {{"decay_lr", "true"}}},
      {"min_lr", "1e-5", "decay_lr = true", constant, {{"decay_lr", "true"}}},
      {"eval_interval",
       "7",
       "validation_interval = None",
       {{"eval_interval", "7"}, {"validation_interval", "100"}},
       {{"eval_interval", "7"}}},
      {"keep_checkpoints", "3", "checkpoint_interval", {}, {{"checkpoint_interval", "100"}}},
      {"spike_window", "50", "spike_sigma > 0", {}, {{"spike_sigma", "6"}}},
  };
}

// Of loops.
std::vector<InVain> in_vain_of_loops() {
  const Settings::value_type group = {"loop_groups", "[[1]]"},
                             fixed = {"loop_sampling_strategy", "fixed"},
                             uniform = {"loop_sampling_strategy", "uniform"},
                             poisson = {"loop_sampling_strategy", "log_poisson"},
                             adds = {"concatenate_initial_representation", "false"},
                             adapts = {"concatenate_initial_representation", "true"};
  const Settings loops = {group};
  const char* const kGroups = "loop_groups";
  const char* const kDraws = "loop_sampling_strategy = uniform or log_poisson";
  const char* const kPoisson = "loop_sampling_strategy = log_poisson";
  const char* const kAdapts = "concatenate_initial_representation = true";
  return {
      {"loop_counts", "[2]", kGroups, {}, loops},
      {"max_loops", "7", kGroups, {}, loops},
      {"loop_sampling_strategy", "fixed", kGroups, {}, loops},
      {"loop_sampling_rbar", "3", kGroups, {poisson}, loops},
      {"loop_sampling_rbar", "3", kPoisson, loops, {poisson}},
      {"loop_sampling_sigma", "1", kGroups, {poisson}, loops},
      {"loop_sampling_sigma", "1", kPoisson, loops, {poisson}},
      {"loop_sample_clamp", "3", kGroups, {}, loops},
      {"loop_sample_clamp", "3", kDraws, {group, fixed}, {uniform}},
      {"loop_sampling_unit", "sequence", kGroups, {}, loops},
      {"loop_sampling_unit", "sequence", kDraws, {group, fixed}, {uniform}},
      {"loop_counts_eval", "sampled", kGroups, {}, loops},
      {"loop_counts_eval", "sampled", kDraws, {group, fixed}, {uniform}},
      {"concatenate_initial_representation", "false", kGroups, {}, loops},
      {"loop_adapter", "group", kGroups, {}, loops},
      {"loop_adapter", "group", kAdapts, {group, adds}, {adapts}},
      {"loop_adapter_init", "half", kGroups, {}, loops},
      {"loop_adapter_init", "half", kAdapts, {group, adds}, {adapts}},
      {"single_pass_adapter", "false", kGroups, {}, loops},
      {"single_pass_adapter",
       "false",
       "concatenate_initial_representation, loop_norm or loop_signal",
       {group, adds},
       {{"loop_norm", "rms"}}},
      {"loop_noise_scale", "1", kGroups, {}, loops},
      {"loop_noise_eval", "zero", kGroups, {{"loop_noise_scale", "1"}}, loops},
      {"loop_noise_eval", "zero", "loop_noise_scale > 0", loops, {{"loop_noise_scale", "1"}}},
      {"loops_backprop_depth", "3", kGroups, {}, loops},
      {"loop_norm", "rms", kGroups, {}, loops},
      {"loop_signal", "vector", kGroups, {}, loops},
  };
}

// Of what blocks are made of.
std::vector<InVain> in_vain_of_wirings() {
  const Settings attends = {{"wiring", "r = r + A(n)"}}, maps = {{"wiring", "r = r + M(n)"}};
  const Settings::value_type no_weights = {"norm_affine", "false"},
                             weights = {"norm_affine", "true"};
  const char* const kA = "a wiring that calls A";
  const char* const kM = "a wiring that calls M";
  const char* const kWeights = "norms with weights (norm_affine = true, norm_kind other than none)";
  return {
      {"attn_value", "sum", kA, maps, attends},
      {"attn_projection", "false", kA, maps, attends},
      {"attn_scores", "sigmoid", kA, maps, attends},
      {"attn_mask", "strict", kA, maps, attends},
      {"attn_bias", "true", kA, maps, attends},
      {"attn_bias",
       "true",
       "attn_value = linear, attn_projection = true, or attn_scores = softmax or sigmoid",
       {{"attn_value", "sum"}, {"attn_projection", "false"}, {"attn_scores", "uniform"}},
       {{"attn_scores", "sigmoid"}}},
      {"share_attn", "one", kA, maps, attends},
      {"mlp_hidden", "2", kM, attends, maps},
      {"mlp_activation", "relu", kM, attends, maps},
      {"mlp_gated", "true", kM, attends, maps},
      {"mlp_bias", "true", kM, attends, maps},
      {"share_mlp", "one", kM, attends, maps},
      {"activation", "gelu_tanh", kM, attends, maps},
      {"activation",
       "gelu_tanh",
       "mlp_activation = style",
       {{"mlp_activation", "relu"}},
       {{"mlp_activation", "style"}}},
      {"norm_eps",
       "1e-3",
       "norm_kind = style or layer, or a loop_norm",
       {{"norm_kind", "rms"}},
       {{"norm_kind", "layer"}}},
      {"norm_affine",
       "false",
       "norm_kind = style, layer or rms",
       {{"norm_kind", "none"}},
       {{"norm_kind", "rms"}}},
      {"norm_ties", "last", kWeights, {{"share_norm", "one"}, no_weights}, {weights}},
      {"share_norm", "one", kWeights, {no_weights}, {weights}},
      {"share",
       "one",
       "share_attn, share_mlp or share_norm = None",
       {{"share_attn", "one"}, {"share_mlp", "one"}, {"share_norm", "one"}},
       {{"share_norm", "None"}}},
  };
}

TEST(Needs, EveryKeyActsAlwaysOrSaysWhatItNeeds) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  const std::set<std::string> always(std::begin(kActsAlways), std::end(kActsAlways));
  std::set<std::string> names;
  for (const Field& field : list.all()) {
    names.insert(field.name());
    EXPECT_EQ(field.needed().empty(), always.count(field.name()) == 1)
        << field.name() << ": .needs(...) in its list, or its name in tests/effect_lists.h";
  }
  for (const std::string& name : always) EXPECT_EQ(names.count(name), 1u) << name << " is gone";
}

TEST(Needs, EachIsToldAndOnlyWhileItDoesNotHold) {
  std::set<std::pair<std::string, std::string>> told;
  std::vector<InVain> all = in_vain();
  for (InVain& v : in_vain_of_loops()) all.push_back(v);
  for (InVain& v : testing::in_vain_of_numbers()) all.push_back(v);
  for (InVain& v : in_vain_of_wirings()) all.push_back(v);
  for (const InVain& v : all) {
    SCOPED_TRACE(std::string(v.key) + " without " + v.needs);
    told.emplace(v.key, v.needs);
    Settings settings;  // beside what a file says: what is typed against it may be refused
    if (std::string(v.key) != "eval_interval") settings.emplace_back(v.key, v.text);
    const auto note = AllOf(StartsWith(std::string(v.key) + " = "),
                            HasSubstr(std::string(" has no effect: it needs ") + v.needs));
    const auto said = [&] { return resolved("gpt2ish_shakespeare", settings, v.beside).notices; };
    EXPECT_THAT(said(), Contains(note).Times(1));
    for (const auto& [key, text] : v.acts) settings.emplace_back(key, text);
    EXPECT_THAT(said(), Not(Contains(HasSubstr("has no effect"))));
  }
  // None is left out.
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const Field& field : list.all())
    for (const std::string& what : field.needed())
      EXPECT_EQ(told.count({field.name(), what}), 1u) << field.name() << " needs " << what;
}

TEST(Needs, AreSaidInTheWordsThatWereTyped) {
  EXPECT_THAT(resolved("gpt2ish_shakespeare", {{"decay_lr", "false"}, {"min_lr", "1e-5"}}).notices,
              ElementsAre("min_lr = 1e-05 has no effect: it needs decay_lr = true"));
  EXPECT_THAT(resolved("gpt2ish_shakespeare", {{"mask_history", "previous"}}).notices,
              ElementsAre("mask_history = previous has no effect: it needs a halt_rule"));
}

TEST(Needs, APresetsOwnValuesAreNotGiven) {
  for (const Preset& preset : registry().presets())
    EXPECT_THAT(resolved(preset.name).notices, IsEmpty()) << preset.name;
}

TEST(Needs, OfTwoSpellingsTheEarlierOneIsTold) {
  EXPECT_THAT(resolved("gpt2ish", {{"amp", "true"}, {"dtype", "float32"}}).notices,
              ElementsAre("amp = true has no effect: dtype was given after it"));
  EXPECT_THAT(resolved("gpt2ish", {{"dtype", "float32"}, {"amp", "true"}}).notices, IsEmpty());
}

TEST(Needs, ASwitchThatActsOnNothingIsTold) {
  EXPECT_THAT(resolved("gpt2ish", {{"use_muon", "true"}, {"optimizer", "adamw"}}).notices,
              ElementsAre("use_muon = true has no effect: optimizer was given after it"));
  EXPECT_THAT(resolved("gpt2ish", {{"enable_auto_exit_eval", "true"}}).notices,
              ElementsAre("enable_auto_exit_eval = true has no effect: it needs loop_groups"));
  EXPECT_THAT(resolved("gpt2ish", {{"enable_auto_exit_eval", "false"}}).notices, IsEmpty());
}

}  // namespace
}  // namespace fathom
