// Every setting changes something: each is given another value in a tiny run, and what the run
// reports and leaves behind must differ.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "effect_lists.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

struct Row {
  std::string name, value;
  Settings base = {};  // without which it has nothing to act on
};

// Three layers that all answer, at about a third of the tokens each.
const Settings kExits = {{"n_layer", "3"},
                         {"init", "torch"},
                         {"tie_head", "False"},
                         {"layer_heads", "True"},
                         {"halt_rule", "max"},
                         {"halt_threshold", "0.3"},
                         {"layer_supervision", "all"}};

// The same, by draws.
const Settings kDraws = {{"n_layer", "3"},           {"init", "torch"},
                         {"tie_head", "False"},      {"layer_heads", "True"},
                         {"halt_rule", "bernoulli"}, {"layer_supervision", "all"}};

const Settings kMuon = {{"optimizer", "muon"}};
const Settings kLoopSettings = {{"loop_groups", "[[1]]"}, {"max_loops", "3"}};
const Settings kOnceSettings = {{"loop_groups", "[[1]]"}, {"max_loops", "1"}};
const Settings kNoiseSettings = {
    {"loop_groups", "[[1]]"}, {"max_loops", "3"}, {"loop_noise_scale", "5"}};
const Settings kHuginnSettings = {{"block_style", "huginn"}};

// Below what all matrices begin with.
const Settings kSpectral = {{"spectral_clip_beta", "0.1"}};

const Settings kAhead = {{"predict_ahead", "True"}, {"max_shift", "3"}};

Settings exits_and(const std::string& name, const std::string& value) {
  Settings settings = kExits;
  settings.push_back({name, value});
  return settings;
}

// A loop of four iterations.
Settings looped_and(const Settings& others) {
  Settings settings = {
      {"loop_groups", "[[0]]"}, {"loop_counts", "[4]"}, {"loop_sampling_strategy", "fixed"}};
  settings.insert(settings.end(), others.begin(), others.end());
  return settings;
}

// Passes that have different numbers of targets each.
Settings split_exits() {
  Settings settings = exits_and("layer_supervision", "skip_easy");
  settings.push_back({"batch_size", "4"});
  settings.push_back({"mini_batch_size", "1"});
  return settings;
}

// clang-format off
const std::vector<Row> kEffectsRows = {
    {"n_layer", "3"}, {"n_head", "4"}, {"n_embd", "32"}, {"block_size", "4"}, {"vocab_size", "20"},
    {"bias", "True"}, {"head_bias", "True", {{"tie_head", "False"}}}, {"tie_head", "False"},
    {"dropout", "0.3"}, {"attn_dropout", "0.3"}, {"residual_dropout", "0.3"},
    {"embed_dropout", "0.3"}, {"norm_eps", "0.1"}, {"activation", "gelu_tanh"}, {"init", "torch"},
    {"attn_mask", "strict"}, {"mlp_activation", "relu"},
    {"rms_norm_eps", "0.1", kHuginnSettings}, {"residual_scaling", "tied_depth", kHuginnSettings},
    {"effective_n_layer", "9", {{"init", "takase"}}}, {"scale_embeddings", "True"},
    {"loop_adapter_init", "half", kLoopSettings},
    {"single_pass_adapter", "False", kOnceSettings},
    {"loop_noise_scale", "5", kLoopSettings}, {"loop_noise_eval", "zero", kNoiseSettings},
    {"loop_sampling_unit", "sequence", kLoopSettings},
    {"loop_counts_eval", "sampled", kLoopSettings},
    {"sampling", "sequential"}, {"batch_size", "4"},
    {"mini_batch_size", "2", {{"batch_size", "4"}}}, {"gradient_accumulation_steps", "2"},
    {"learning_rate", "0.02"}, {"weight_decay", "0.5"}, {"beta1", "0.5"}, {"beta2", "0.5"},
    {"adam_eps", "0.01"}, {"grad_clip", "0.01"}, {"optimizer", "sgd"},
    {"momentum", "0.5", {{"optimizer", "sgd"}}}, {"rmsprop_alpha", "0.5", {{"optimizer", "rmsprop"}}},
    {"muon_lr", "0.5", kMuon}, {"muon_momentum", "0.5", kMuon}, {"muon_ns_steps", "2", kMuon},
    {"spectral_clip_beta", "0.1"}, {"spectral_method", "svd", kSpectral},
    {"spectral_every", "2", kSpectral}, {"spectral_split_qkv", "True", kSpectral},
    {"parameter_groups", "mlp.*: lr=0.5"}, {"optimizer_warmup_steps", "4"},
    {"optimizer_warmup_fraction", "0.5", {{"optimizer_warmup_steps", "4"}}},
    {"decay_rule", "mlp_and_head"}, {"decay_lr", "False"}, {"warmup_iters", "3"},
    {"warmup_form", "from_zero", {{"warmup_iters", "3"}}}, {"lr_decay_iters", "3"},
    {"min_lr", "0.005"}, {"max_iters", "4"}, {"eval_interval", "2"}, {"eval_iters", "3"},
    {"evaluations", "val: batches=1"},
    {"muon_nesterov", "False", kMuon}, {"use_muon", "True"},
    {"enable_auto_exit_eval", "True", {{"loop_groups", "[[1]]"}, {"max_loops", "3"}}},
    {"eval_only", "True"}, {"seed", "1"}, {"dtype", "bfloat16"}, {"threads", "2"},
    {"layer_tables", "True"}, {"layer_heads", "True", {{"tie_head", "False"}}},
    {"layer_widths", "[8, 16]", {{"tie_head", "False"}}},
    {"gate_mode", "learned", {{"layer_tables", "True"}}}, {"layer_contexts", "[2, 3]"},
    {"mask_history", "previous", kExits}, {"mask_self", "False", kExits},
    {"detach_between_layers", "True", kExits}, {"halt_rule", "gold", kExits},
    {"halt_threshold", "0.4", kExits}, {"halt_thresholds", "[0.4, 0.3, 0.3]", kExits},
    {"confidence_temperature", "2", kExits}, {"layer_supervision", "all"},
    {"halt_keys", "seen", kExits}, {"halt_use", "log", kExits},
    {"halt_in_eval", "expect", kDraws}, {"halt_cap", "0.2", kDraws},
    {"loop_halt_rule", "kl", looped_and({})}, {"automatic_loop_exit", "True", looped_and({})},
    {"loop_halt_threshold", "1000", looped_and({{"loop_halt_rule", "acceleration"}})},
    {"loop_gate_entropy", "0.5", looped_and({{"loop_halt_gate", "True"}})},
    {"loop_stop_probability", "0.5", looped_and({})},
    {"supervision_reduce", "sum", kExits},
    {"objective", "loss = ce [layers=all]; sure = ln(1 - exp(mean(ln(p_max)))) [layers=0]"},
    {"reach", "1"}, {"reach_embeddings", "False"}, {"freeze_parts", "mlp, norm"},
    {"skip_easy_weight", "token", exits_and("layer_supervision", "skip_easy")},
    {"loss_norm", "minibatch", split_exits()},
    {"freeze", "mlp.*"}, {"default_freeze", "True", {{"unfreeze", "mlp.*"}}},
    {"unfreeze", "mlp.0.*", {{"freeze", "mlp.*"}}}, {"validation_interval", "5"},
    {"validation_batch_size", "3"}, {"amp", "True"},
    {"predict_ahead", "True", {{"max_shift", "3"}}}, {"max_shift", "4", kAhead},
    {"label_shift_prob", "0.3", kAhead}, {"shift_dist", "uniform", kAhead}, {"shift", "2", kAhead},
    {"shift_zipf_a", "0.3", {{"predict_ahead", "True"}, {"max_shift", "3"}, {"shift_dist", "zipf"}}},
    {"shift_losses", "False", kAhead},
};
// clang-format on

// Fields whose effect is tested elsewhere.
const std::set<std::string> kElsewhere = {
    "device",        // below: a refusal on a machine without CUDA
    "fresh_rows",    // of rows: rows_test.cpp
    "log_interval",  // how often `fathom train` stores and prints: the end-to-end tests
    "dataset",       // opened by the command line
    // What the console says meanwhile: the end-to-end tests.
    "log_format", "sample_interval", "sample_prompt",
    // Which checkpoints are there: resume_test.cpp.
    "checkpoint_interval", "keep_checkpoints", "save_interval",
    // What happens to numbers that this run does not have: guards_test.cpp.
    "nonfinite", "spike_sigma", "spike_window", "check_grads",
    "recompute_blocks",  // memory: recompute_test.cpp
    "loop_halt_unit",    // means over sequences: loop_exit_test.cpp
    "loop_cache",        // of generation: loop_exit_use_test.cpp
    "eval_layers",       // of layers that share their weights: walk_evaluation_test.cpp
};

class EffectsTest : public TrainTest {
 protected:
  RunConfig with(const Settings& settings) {
    RunConfig config = tiny_run();
    config.training.threads = 1;
    FieldList list;
    add_fields(list, config);
    for (const auto& [name, value] : settings) list.set_text(name, value, "the test");
    resolve(list, config);
    return config;
  }

  // Everything a run reports and leaves, except the copy of its settings.
  std::string fingerprint(const RunConfig& config) {
    std::string print = fmt::format("threads {}\n", set_threads(config.training.threads).threads);
    const std::string folder = fmt::format("run{}", runs_++);
    const History history = run(config, folder);
    for (const StepReport& s : history.steps)
      print += fmt::format("step {} {} {} {} {} {}\n", s.step, s.loss, s.gradient_norm,
                           s.learning_rate, s.tokens, s.metrics);
    for (const EvalReport& e : history.evaluations)
      for (const NamedEvaluation& n : e.evaluations)
        print += fmt::format("evaluation {} {} {}\n", e.step, n.name, n.evaluation.numbers());
    for (const char* name : {"last", "best"})
      for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
        const std::string path = checkpoint(folder, name) + "/" + file;
        if (std::filesystem::exists(path))
          print += fmt::format("{} {} {}\n", name, file, xxh3_hex(xxh3_file(path)));
      }
    return print;
  }

  int runs_ = 0;
};

TEST_F(EffectsTest, EverySettingHasARow) {
  std::set<std::string> rows = kElsewhere;
  for (const Row& row : kEffectsRows) rows.insert(row.name);
  for (const char* name : kEngineEffects)
    EXPECT_EQ(rows.count(name), 1U) << "what does " << name << " change? Add it to kEffectsRows";
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const std::string& name : rows) EXPECT_NE(list.find(name), nullptr) << name;
}

TEST_F(EffectsTest, EverySettingActs) {
  std::map<Settings, std::string> bases;
  for (const Row& row : kEffectsRows) {
    SCOPED_TRACE(row.name + "=" + row.value);
    std::string& base = bases[row.base];
    if (base.empty()) base = fingerprint(with(row.base));
    Settings changed = row.base;
    changed.push_back({row.name, row.value});
    EXPECT_NE(fingerprint(with(changed)), base);
  }
  for (const auto& [settings, print] : bases)
    EXPECT_EQ(fingerprint(with(settings)), print) << "a run differs without any change";
}

TEST_F(EffectsTest, DeviceIsRefusedWhereThereIsNone) {
  if (at::hasCUDA()) GTEST_SKIP() << "this libtorch has CUDA";
  for (const char* device : {"cuda", "cuda:1"}) {
    const Error error = caught([&] { trainer(with({{"device", device}})); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(device));
    EXPECT_THAT(error.hint(), HasSubstr("Torch_DIR"));
  }
  const Error error = caught([&] { choose_device("gpu"); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("gpu"));
  EXPECT_EQ(choose_device("auto"), at::Device(at::kCPU));
}

TEST(Threads, AreAsManyAsAskedOrAllThereAre) {
  EXPECT_EQ(set_threads(3).threads, 3);
  EXPECT_EQ(at::get_num_threads(), 3);
  EXPECT_GE(set_threads(0).threads, 1);
  set_threads(1);
}

}  // namespace
}  // namespace fathom::testing
