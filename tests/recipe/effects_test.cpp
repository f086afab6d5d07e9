// Every field of a run changes something: those that show without torch are changed here.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "effect_lists.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/decay.h"
#include "fathom/train/recipe/schedule.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::resolved;
using testing::Settings;

std::set<std::string> names_of_fields() {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  std::set<std::string> names;
  for (const Field& field : list.all()) names.insert(field.name());
  return names;
}

TEST(EffectLists, HoldEveryFieldOnce) {
  std::multiset<std::string> listed(std::begin(kPlanEffects), std::end(kPlanEffects));
  listed.insert(std::begin(kEngineEffects), std::end(kEngineEffects));
  const std::set<std::string> fields = names_of_fields();
  for (const std::string& name : fields)
    EXPECT_EQ(listed.count(name), 1u)
        << name << " needs a test of its effect, and its name in tests/effect_lists.h";
  for (const std::string& name : listed) EXPECT_EQ(fields.count(name), 1u) << name << " is gone";
}

// Everything about a run that is known before it starts.
std::map<std::string, double> observed(const Settings& settings) {
  const RunConfig c = resolved("gpt2ish_shakespeare", settings).config;
  const int64_t V = settled_vocab_size(c, 65), T = c.model.backbone.block_size;
  std::map<std::string, double> seen;
  for (const ParameterSpec& spec : parameter_table(c.model, V)) {
    const auto n = static_cast<double>(spec.count());
    seen["parameters"] += n;
    if (decays(spec, c.optimizer.decay_rule)) seen["decayed"] += n;
  }
  seen["flops"] = flops_per_token(c.model, V, T).training();
  seen["memory"] = training_memory(c.model, V, c.micro_batch_size(), T).total();
  seen["tokens"] = static_cast<double>(c.tokens_per_step());
  for (const int64_t step : {0, 10, 99, 200, 1000, 3000, 6000})
    seen["rate at " + std::to_string(step)] = learning_rate_at(c, step);
  return seen;
}

// The names of what changes between the two.
std::set<std::string> differences(const Settings& before, const Settings& after) {
  std::set<std::string> changed;
  const auto a = observed(before), b = observed(after);
  for (const auto& [name, value] : a)
    if (b.at(name) != value) changed.insert(name);
  return changed;
}

struct Effect {
  const char *field, *text;
  std::set<std::string> changes;  // exactly these
  Settings beside = {};           // what the field needs to act
};

std::vector<Effect> effects() {
  const std::set<std::string> size = {"parameters", "decayed", "flops", "memory"};
  const std::set<std::string> whole_schedule = {"rate at 0",   "rate at 10",   "rate at 99",
                                                "rate at 200", "rate at 1000", "rate at 3000"};
  const std::set<std::string> warm_up = {"rate at 0", "rate at 10", "rate at 99"};
  const std::set<std::string> decay = {"rate at 200", "rate at 1000", "rate at 3000"};
  const std::set<std::string> tables = {"parameters", "decayed", "memory"};
  const std::set<std::string> readouts = {"flops", "memory"};
  const auto with = [](std::set<std::string> names, const char* more) {
    return names.insert(more), names;
  };
  const auto with_loops = [](Settings settings) {
    return settings.emplace_back("loop_groups", "[[1]]"), settings;
  };
  const Settings::value_type log_poisson = {"loop_sampling_strategy", "log_poisson"};
  return {
      {"n_layer", "5", size},
      {"n_head", "3", {"memory"}},
      {"n_embd", "192", size},
      {"block_size", "128", with(size, "tokens")},
      {"vocab_size", "80", size},
      {"bias", "true", {"parameters", "memory"}},
      {"head_bias", "true", {"parameters", "memory"}, {{"tie_head", "false"}}},
      {"tie_head", "false", {"parameters", "decayed", "memory"}},
      {"batch_size", "32", {"memory", "tokens"}},
      {"mini_batch_size", "8", {"memory"}},
      {"gradient_accumulation_steps", "3", {"tokens"}},
      {"learning_rate", "2e-3", with(whole_schedule, "rate at 6000")},
      {"decay_rule", "mlp_and_head", {"decayed"}},
      {"decay_lr", "false", with(with(whole_schedule, "rate at 6000"), "rate at 99")},
      {"warmup_iters", "50", whole_schedule},
      {"warmup_form", "from_zero", warm_up},
      {"lr_decay_iters", "2000", decay},
      {"min_lr", "5e-4", with(decay, "rate at 6000")},
      {"max_iters", "4000", decay},
      {"layer_tables", "true", tables},
      {"layer_heads", "true", tables, {{"tie_head", "false"}, {"layer_supervision", "all"}}},
      {"layer_widths", "[96, 96, 192, 192, 384, 384]", size, {{"tie_head", "false"}}},
      {"gate_mode", "learned", size, {{"layer_tables", "true"}}},
      {"layer_contexts", "[1, 2, 4, 8, 16, 255]", {"flops"}},
      {"halt_rule", "max", readouts},
      {"loop_halt_gate", "true", size, {{"loop_groups", "[[1]]"}}},
      {"layer_supervision", "all", readouts},
      {"predict_ahead", "true", size},
      {"max_shift", "7", size, {{"predict_ahead", "true"}}},
      {"block_style", "sandwich", {"parameters", "memory"}},
      {"wiring", "r = r + A(n)*M(n)", {"parameters", "memory"}},
      {"attn_value", "sum", size},
      {"attn_projection", "false", size},
      {"attn_scores", "uniform", size},
      {"attn_bias", "true", {"parameters", "memory"}},
      {"mlp_hidden", "2.5", size},
      {"mlp_gated", "true", size},
      {"mlp_bias", "true", {"parameters", "memory"}},
      {"norm_kind", "none", {"parameters", "memory"}},
      {"norm_affine", "false", {"parameters", "memory"}},
      {"norm_ties", "last", {"parameters", "memory"}, {{"share_norm", "one"}}},
      {"share", "one", tables},
      {"share_attn", "[0, 1, 0, 1, 0, 1]", tables},
      {"share_mlp", "one", tables},
      {"share_norm", "one", {"parameters", "memory"}},
      {"positions", "none", tables},
      {"loop_groups", "[[1, 2], [3]]", size},
      {"loop_counts", "[2]", readouts, with_loops({{"loop_sampling_strategy", "fixed"}})},
      {"max_loops", "5", readouts, with_loops({})},
      {"loop_sampling_strategy", "fixed", {"flops"}, with_loops({})},
      {"loop_sampling_rbar", "4", readouts, with_loops({log_poisson})},
      {"loop_sampling_sigma", "1", {"memory"}, with_loops({log_poisson})},
      {"loop_sample_clamp", "4", readouts, with_loops({})},
      {"concatenate_initial_representation", "false", size, with_loops({})},
      {"loop_adapter", "group", tables, {{"loop_groups", "[[1], [3]]"}}},
      {"loops_backprop_depth", "3", readouts, with_loops({})},
      {"loop_norm", "rms", {"parameters", "memory"}, with_loops({})},
      {"loop_signal", "vector", tables, with_loops({})},
  };
}

TEST(Effects, EachFieldChangesWhatItShouldAndNothingElse) {
  for (const Effect& e : effects()) {
    Settings changed = e.beside;
    changed.emplace_back(e.field, e.text);
    EXPECT_EQ(differences(e.beside, changed), e.changes) << e.field;
  }
}

// A resumed run keeps these; any other key that made other tensors would not fit its checkpoint.
TEST(Effects, WhatDecidesTheParametersIsArchitecture) {
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const Effect& e : effects())
    EXPECT_TRUE(e.changes.count("parameters") == 0 || list.find(e.field)->does_shape_weights())
        << e.field;
}

TEST(Effects, NoFieldIsLeftOut) {
  std::set<std::string> tested = {"use_baseline_model",  // by baseline_test.cpp
                                  "dataset",  // by cli/effects_test.cpp, with a prepared corpus;
                                              // the others by data_options_test.cpp
                                  "include_prompts", "dont_include_prompts", "long_rows",
                                  "row_overlap", "pack_rows", "shuffle_rows", "mixture",
                                  "mixture_weights"};
  // Those of the section numbers are by numbers_options_test.cpp.
  RunConfig config;
  FieldList list;
  add_fields(list, config);
  for (const Field& field : list.all())
    if (field.section() == "numbers") tested.insert(field.name());
  for (const Effect& e : effects()) EXPECT_TRUE(tested.insert(e.field).second) << e.field;
  EXPECT_EQ(tested, std::set<std::string>(std::begin(kPlanEffects), std::end(kPlanEffects)));
}

}  // namespace
}  // namespace fathom
