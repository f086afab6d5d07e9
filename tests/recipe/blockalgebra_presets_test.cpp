// The rows of the notebook of wirings: their names, their counts as it printed them, and the
// recipes that set them side by side.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "fathom/config/config_file.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/schedule.h"
#include "fathom/train/recipe/sweep_recipe.h"
#include "io/temp_folder.h"
#include "recipe/config_testing.h"
#include "source_path.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::resolved;
using testing::Settings;
namespace fs = std::filesystem;

constexpr const char* kWiringLogs[] = {"0-original",
                                       "0-gpt",
                                       "0-gpt-custom",
                                       "0-base",
                                       "0-noearly",
                                       "0-base2",
                                       "1-noise",
                                       "2-test",
                                       "3-test",
                                       "3-test-rerun",
                                       "4-test",
                                       "5-test-text",
                                       "5-test",
                                       "5-test2",
                                       "6-test-1",
                                       "6-test-2",
                                       "7-test-1",
                                       "7-test-2",
                                       "7-test-3",
                                       "7-test-4",
                                       "7-debug",
                                       "7-debug-2",
                                       "8-plus-times",
                                       "8-noresattnresmlp",
                                       "8-everylayer-nores",
                                       "8-everylayer-nores-true",
                                       "8-doubleattn",
                                       "8-doubleattndoublemlp",
                                       "8-timesplus",
                                       "8-experiment",
                                       "8-timestimes",
                                       "8-reswithln",
                                       "8-xplusnotres",
                                       "9-experiment",
                                       "9-unlearnableLN",
                                       "9-unlearnableLN-xnotres",
                                       "9-unlearnableLN-resplus",
                                       "10-resescape",
                                       "10-x-escape",
                                       "10-plustimes",
                                       "10-resmlp",
                                       "10-resmlp-single",
                                       "10-resmlp-single-2x",
                                       "10-resmlp-single-halfx",
                                       "10-resmlp-single-noattn",
                                       "10-resmlp-single-attnxmlp",
                                       "10-resmlp-single-axm-recurse",
                                       "10-resmlp-single-axm-novalue",
                                       "10-resmlp-single-axm-novalue-copy",
                                       "10-resmlp-single-axm-novalue-copy-alllayer",
                                       "10-resmlp-single-axm-novalue-extramlp",
                                       "10-resmlp-single-axm-novalue-rms",
                                       "11-base",
                                       "11-apm-nopos",
                                       "11-axm-mlpofy"};
// Its open ideas, and other names.
constexpr const char* kWiringIdeas[] = {"recurse",        "recurse-plus",
                                        "u1-reach1",      "u1-reach1-unshared",
                                        "u2-converge",    "u3-axm-rms",
                                        "u4-mlpofnorm",   "u4-mlpofnorm-plus",
                                        "u5-expected",    "u5-ponder",
                                        "u5-lastpenalty", "u6-token",
                                        "u9-lowrate",     "u10-noprojection",
                                        "u10-inputvalue", "u11-replace",
                                        "u12-uniform",    "u14-sure",
                                        "notarget",       "agreement",
                                        "carrypenalty",   "axm",
                                        "axm-novalue",    "10-resmlp-single-axm"};

std::vector<std::string> wiring_presets() {
  std::vector<std::string> names;
  for (const Preset& preset : registry().presets())
    if (preset.experiment == "blockalgebra") names.push_back(preset.name);
  return names;
}

bool is_small(const std::string& name) {
  return name.size() > 6 && name.substr(name.size() - 6) == "_small";
}

std::string model_text(const std::string& preset, const Settings& more = {}) {
  RunConfig config = preset_config(preset);
  set_keys(config, more);
  FieldList list;
  add_fields(list, config.model);
  return to_toml(list);
}

TEST(WiringPresets, AreTheNotebooksLogsAtTwoSizes) {
  std::set<std::string> expected;
  const auto add = [&](const char* name) {
    expected.insert(name);
    expected.insert(std::string(name) + "_small");
  };
  for (const char* name : kWiringLogs) add(name);
  for (const char* name : kWiringIdeas) add(name);
  const std::vector<std::string> names = wiring_presets();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), expected);
}

TEST(WiringPresets, HaveTheNotebooksTraining) {
  for (const std::string& name : wiring_presets()) {
    if (is_small(name)) continue;
    SCOPED_TRACE(name);
    const RunConfig c = preset_config(name);
    EXPECT_EQ(c.tokens_per_step(), 131072);
    EXPECT_EQ(c.micro_batch_size(), name == "0-base" ? 16 : 8);
    EXPECT_EQ(c.model.backbone.n_embd, 768);
    EXPECT_EQ(c.model.backbone.n_layer, 12);
    EXPECT_EQ(c.model.backbone.vocab_size, 50304);
    EXPECT_EQ(c.optimizer.beta1, 0.9);
    EXPECT_EQ(c.optimizer.beta2, 0.95);
    EXPECT_EQ(c.optimizer.adam_eps, 1e-8);
    EXPECT_EQ(c.optimizer.weight_decay, 0.1);
    EXPECT_EQ(c.optimizer.grad_clip, 1);
    for (int64_t t = 0; t < 10; ++t)
      EXPECT_DOUBLE_EQ(learning_rate_at(c, t), c.optimizer.learning_rate * double(t + 1) / 10);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 300001), c.optimizer.learning_rate / 10);
  }
}

// As its logs print them.
TEST(WiringPresets, HaveTheNotebooksRates) {
  const RunConfig c = preset_config("8-doubleattn");
  const std::pair<int64_t, const char*> logged[] = {
      {0, "6.0000e-05"},    {949, "5.9999e-04"},  {2449, "5.9991e-04"},
      {4399, "5.9971e-04"}, {6349, "5.9941e-04"},
  };
  for (const auto& [step, text] : logged)
    EXPECT_EQ(fmt::format("{:.4e}", learning_rate_at(c, step)), text) << step;
  const auto most = [](const char* name) { return preset_config(name).optimizer.learning_rate; };
  EXPECT_EQ(most("0-gpt"), 6e-4);
  EXPECT_EQ(most("0-base"), 1.2e-3);
  for (const char* name : {"0-base2", "0-noearly", "5-test"}) EXPECT_EQ(most(name), 2.4e-3) << name;
  for (const char* name : {"6-test-2", "7-test-1"}) EXPECT_EQ(most(name), 3e-4) << name;
}

// What is not as it was there is told where the preset is chosen.
TEST(WiringPresets, SayWhereTheirHaltingIsNotTheNotebooks) {
  for (const char* name : {"6-test-1", "6-test-2"})
    EXPECT_NE(registry().preset(name).summary.find("who halts goes by the layer's own p_max"),
              std::string::npos)
        << name;
}

// Matrices and their numbers, and what is no matrix.
struct WeightCounts {
  int64_t matrices = 0, in_matrices = 0, vectors = 0, in_vectors = 0;
  bool operator==(const WeightCounts& o) const {
    return matrices == o.matrices && in_matrices == o.in_matrices && vectors == o.vectors &&
           in_vectors == o.in_vectors;
  }
};
std::ostream& operator<<(std::ostream& out, const WeightCounts& c) {
  return out << c.matrices << " with " << c.in_matrices << ", " << c.vectors << " with "
             << c.in_vectors;
}

WeightCounts weight_counts(const std::string& preset, const Settings& more = {}) {
  RunConfig config = preset_config(preset);
  set_keys(config, more);
  WeightCounts c;
  for (const ParameterSpec& spec : parameter_table(config.model, 50304)) {
    const bool matrix = spec.shape.size() > 1;
    ++(matrix ? c.matrices : c.vectors);
    (matrix ? c.in_matrices : c.in_vectors) += spec.count();
  }
  return c;
}

TEST(WiringPresets, HaveTheNotebooksCounts) {
  EXPECT_EQ(weight_counts("7-test-3"), (WeightCounts{6, 46'497'792, 8, 9'984}));
  // Its later blocks own two attentions and two MLPs: used or not there, used by this one here.
  const Settings free = {{"norm_affine", "false"}};
  EXPECT_EQ(weight_counts("8-doubleattndoublemlp", free),
            (WeightCounts{10, 53'575'680, 8, 18 * 768}));
  EXPECT_EQ(
      weight_counts("8-doubleattndoublemlp", {{"norm_affine", "false"}, {"attn_value", "sum"}}),
      (WeightCounts{10, 52'396'032, 8, 12'288}));
  // Twelve blocks and an unused shared one.
  const WeightCounts unshared = weight_counts("0-gpt", {{"n_layer", "13"}});
  EXPECT_EQ(unshared.matrices, 54);
  EXPECT_EQ(unshared.in_matrices, 131'432'448);
}

// The formula of every row, by hand: V C + T C, and for one block 12 C^2 + 9 C, 2 C for each norm
// with weights, C^2 + C less without values and as much without the output projection, 8 C^2 + 5 C
// for another MLP and 4 C^2 + 4 C for another attention.
TEST(WiringPresets, HaveThePartsThatTheirFormulasCall) {
  const int64_t C = 768, tables = (50304 + 1024) * C;
  const int64_t A = 4 * C * C + 4 * C, M = 8 * C * C + 5 * C, norm = 2 * C, v = C * C + C;
  const auto count = [](const char* preset) {
    const WeightCounts c = weight_counts(preset);
    return c.in_matrices + c.in_vectors;
  };
  EXPECT_EQ(count("0-gpt"), tables + 12 * (A + M + 2 * norm) + norm);
  EXPECT_EQ(count("7-test-2"), tables + A + M + 2 * norm);
  EXPECT_EQ(count("8-doubleattn"), tables + 2 * A + M + 2 * norm);
  EXPECT_EQ(count("9-unlearnableLN"), tables + A + M);
  EXPECT_EQ(count("10-resmlp-single"), tables + A + M);
  EXPECT_EQ(count("10-resmlp-single-noattn"), tables + M);
  EXPECT_EQ(count("axm-novalue"), tables + A + M - 2 * v);
  EXPECT_EQ(count("10-resmlp-single-axm-novalue-extramlp"), tables + A + 2 * M - 2 * v);
  EXPECT_EQ(count("11-apm-nopos"), tables - 1024 * C + A + M - 2 * v);
  EXPECT_EQ(count("u10-noprojection"), tables + A + M - v);
  EXPECT_EQ(count("u10-inputvalue"), tables + A + M - v);
  EXPECT_EQ(count("u11-replace"), tables + A + 2 * M);
  EXPECT_EQ(count("u12-uniform"), tables + A + M - 2 * v) << "no queries and keys";
}

TEST(WiringPresets, WhatWasMislabelledIsWhatWasComputed) {
  EXPECT_EQ(model_text("9-experiment"), model_text("8-timesplus"));
  EXPECT_EQ(model_text("10-resmlp-single-axm-recurse"), model_text("10-resmlp-single-attnxmlp"));
  for (const char* name : {"9-experiment", "10-resmlp-single-axm-recurse"})
    EXPECT_THAT(registry().preset(name).summary, HasSubstr("labelled"));
  EXPECT_EQ(model_text("axm"), model_text("10-resmlp-single-attnxmlp"));
  EXPECT_NE(model_text("10-resmlp"), model_text("10-resmlp-single"));
}

TEST(WiringPresets, AreCausalAndSmallOnesAreTheSameWiring) {
  for (const std::string& name : wiring_presets()) {
    SCOPED_TRACE(name);
    const ModelConfig config = preset_config(name).model;
    EXPECT_TRUE(make_depth_plan(config).causal);
    const std::string small = is_small(name) ? name : name + "_small";
    EXPECT_EQ(config.wiring.wiring, preset_config(small).model.wiring.wiring);
    EXPECT_LE(preset_config(small).training.max_iters, 1500);
    // What is written down reads back as the wiring that is computed.
    const Wiring typed = typed_wiring(config.wiring);
    EXPECT_EQ(to_text(parse_wiring(to_text(typed))), to_text(typed));
  }
}

// ---- Recipes

std::vector<std::string> wiring_recipes() {
  std::vector<std::string> files;
  for (const auto& file :
       fs::directory_iterator(testing::source_path("experiments/blockalgebra/recipes")))
    files.push_back(file.path());
  std::sort(files.begin(), files.end());
  return files;
}

TEST(WiringRecipes, EachCanBeRun) {
  ASSERT_FALSE(wiring_recipes().empty());
  for (const std::string& file : wiring_recipes()) {
    SCOPED_TRACE(file);
    const SweepRecipe recipe = read_sweep_file(file);
    EXPECT_EQ(recipe.name, fs::path(file).stem().string());
    EXPECT_EQ(recipe.seeds.size(), 3U);
    EXPECT_GT(recipe.settings.size(), 1U);
    for (const SweepSetting& setting : recipe.settings) {
      SCOPED_TRACE(setting.name);
      EXPECT_TRUE(is_small(setting.preset));
      RunConfig config;
      EXPECT_NO_THROW(config = resolved(setting.preset, setting.values).config);
      EXPECT_LE(config.training.max_iters, 4000);
    }
  }
}

TEST(WiringRecipes, AskEveryQuestionOfTheNotebook) {
  std::string all;
  for (const std::string& file : wiring_recipes()) all += testing::slurp(file);
  for (int test = 15; test <= 28; ++test) EXPECT_THAT(all, HasSubstr(fmt::format("T{}", test)));
  for (const char* idea : {"U1", "U2", "U4", "U6"}) EXPECT_THAT(all, HasSubstr(idea));
}

}  // namespace
}  // namespace fathom
