// Presets and the config files that experiments ship.
#include "fathom/train/recipe/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "fathom/config/config_file.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/other_names.h"
#include "fathom/train/recipe/training_plan.h"
#include "io/temp_folder.h"
#include "recipe/config_testing.h"
#include "source_path.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::refusal_of;
using testing::resolved;
namespace fs = std::filesystem;

TEST(Registry, UnknownPresetsAreRefusedWithTheNearest) {
  const Error e = refusal_of([] { registry().preset("gpt2ihs"); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("gpt2ihs"));
  EXPECT_THAT(e.hint(), AllOf(HasSubstr("did you mean gpt2ish?"), HasSubstr("fathom list")));
  EXPECT_THAT(refusal_of([] { registry().preset("zzzzzzzzz"); }).hint(), HasSubstr("fathom list"));
}

// What other trainers call a key is none here, and what is said of it names keys that there are.
TEST(OtherNames, AreTheirsAlone) {
  const auto other = {"gpt2ish", "dag", "dag_predictor"};
  const std::regex typed("--([a-z_]+)");
  const std::set<std::string> of_train = {"nproc", "run_name", "resume", "initial_model",
                                          "training_plan"};
  for (const char* preset : other) {
    RunConfig config = preset_config(preset);
    FieldList list;
    add_fields(list, config);
    std::set<std::string> seen;
    for (const OtherName& name : other_names()) {
      EXPECT_TRUE(seen.insert(name.name).second) << name.name;
      EXPECT_EQ(list.find(name.name), nullptr) << name.name;
      for (const ForeignKey& key : list.foreign_keys()) EXPECT_NE(key.name, name.name);
      EXPECT_TRUE(name.key.empty() || list.find(name.key) != nullptr ||
                  of_train.count(name.key) > 0)
          << name.name;
      for (std::sregex_iterator at(name.hint.begin(), name.hint.end(), typed), end; at != end; ++at)
        EXPECT_TRUE(list.find((*at)[1]) != nullptr || of_train.count((*at)[1]) > 0)
            << name.name << ": " << name.hint;
    }
  }
  const auto hint = [](const std::string& key) {
    return refusal_of([&] { resolved("gpt2ish", {{key, "3"}}); }).hint();
  };
  EXPECT_EQ(hint("d_model"), "here that is n_embd") << "as in a file";
  EXPECT_EQ(hint("num-epochs"),
            "a run lasts max_iters steps; stages of a training plan may last epochs");
  EXPECT_THAT(hint("gpus"), Not(HasSubstr("nproc"))) << "no key of a configuration";
  EXPECT_THAT(hint("top_k"), HasSubstr("`fathom generate RUN`"));
  EXPECT_THAT(hint("dag_depth"), HasSubstr("dag_depth is a key of dag"));
  EXPECT_THAT(hint("n_layr"), HasSubstr("did you mean n_layer?"));
}

TEST(Registry, APresetNameIsTakenOnce) {
  Registry r;
  r.experiment("one", "");
  r.add("preset", "", [](RunConfig&) {});
  r.experiment("two", "");
  const Error e = refusal_of([&] { r.add("preset", "", [](RunConfig&) {}); });
  EXPECT_THAT(e.what(), AllOf(HasSubstr("preset"), HasSubstr("one"), HasSubstr("two")));
  EXPECT_EQ(r.presets().size(), 1u);
}

TEST(Registry, APresetBelongsToAnExperiment) {
  Registry r;
  EXPECT_THAT(refusal_of([&] { r.add("preset", "", [](RunConfig&) {}); }).what(),
              HasSubstr("preset"));
  r.experiment("mine", "an idea");
  r.add("preset", "a line", [](RunConfig&) {});
  EXPECT_EQ(r.preset("preset").experiment, "mine");
}

TEST(Registry, AConfigFileOfTheOwnExperimentComesFirst) {
  Registry r;
  r.add_config({"one", "train", "1"});
  r.add_config({"two", "train", "2"});
  r.add_config({"two", "other", "3"});
  EXPECT_EQ(r.config("two", "train")->text, "2");
  EXPECT_EQ(r.config("one", "other")->text, "3");
  EXPECT_EQ(r.config("three", "train")->text, "1");
  EXPECT_EQ(r.config("one", "none"), nullptr);
  r.add_plan({"one", "train", "4", ".json"});
  EXPECT_EQ(r.plan("two", "train")->text, "4");
  EXPECT_EQ(r.plan("one", "other"), nullptr);
}

TEST(Registry, EveryPresetResolvesAndIsDescribed) {
  ASSERT_FALSE(registry().presets().empty());
  for (const Preset& preset : registry().presets()) {
    EXPECT_NO_THROW(resolved(preset.name)) << preset.name;
    EXPECT_TRUE(resolved(preset.name).notices.empty()) << preset.name;
    EXPECT_FALSE(preset.summary.empty()) << preset.name;
    EXPECT_EQ(preset_config(preset.name).preset, preset.name);
    EXPECT_TRUE(fs::exists(testing::source_path("experiments/" + preset.experiment)))
        << preset.experiment;
  }
}

// Those of its train.py, for its config files say only what differs from them.
TEST(Registry, Gpt2HasNanoGptsDefaults) {
  RunConfig config = preset_config("gpt2");
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Value>>{{"dataset", "openwebtext"},
                                                  {"gradient_accumulation_steps", 40},
                                                  {"batch_size", 12},
                                                  {"block_size", 1024},
                                                  {"n_layer", 12},
                                                  {"n_embd", 768},
                                                  {"dropout", 0.0},
                                                  {"bias", false},
                                                  {"learning_rate", 6e-4},
                                                  {"max_iters", 600000},
                                                  {"lr_decay_iters", 600000},
                                                  {"min_lr", 6e-5},
                                                  {"warmup_iters", 2000},
                                                  {"weight_decay", 0.1},
                                                  {"beta1", 0.9},
                                                  {"beta2", 0.95},
                                                  {"grad_clip", 1.0},
                                                  {"eval_interval", 2000},
                                                  {"eval_iters", 200}})
    EXPECT_EQ(list.find(key)->value(), value) << key;
}

// What a preset sets is what the same keys would accept from a user.
TEST(Registry, PresetsStayWithinTheFieldsRanges) {
  for (const Preset& preset : registry().presets()) {
    RunConfig config = preset_config(preset.name);
    FieldList list;
    add_fields(list, config);
    EXPECT_NO_THROW(read_config_text(to_toml(list), preset.name + ".toml", list));
  }
}

struct Shipped {
  std::string experiment, stem, path;
};

std::vector<Shipped> shipped_files(const char* folder = "config") {
  std::vector<Shipped> files;
  for (const auto& experiment : fs::directory_iterator(testing::source_path("experiments"))) {
    if (!fs::exists(experiment.path() / folder)) continue;
    for (const auto& file : fs::directory_iterator(experiment.path() / folder))
      files.push_back({experiment.path().filename(), file.path().stem(), file.path()});
  }
  return files;
}

TEST(ShippedConfigs, ArePartOfTheProgram) {
  ASSERT_FALSE(shipped_files().empty());
  for (const Shipped& file : shipped_files()) {
    const ShippedConfig* config = registry().config(file.experiment, file.stem);
    ASSERT_NE(config, nullptr) << file.path;
    EXPECT_EQ(config->text, testing::slurp(file.path));
  }
}

TEST(ShippedPlans, ArePartOfTheProgram) {
  ASSERT_FALSE(shipped_files("plans").empty());
  for (const Shipped& file : shipped_files("plans")) {
    const ShippedPlan* plan = registry().plan(file.experiment, file.stem);
    ASSERT_NE(plan, nullptr) << file.path;
    EXPECT_EQ(plan->text, testing::slurp(file.path));
    EXPECT_EQ(read_plan(*plan).plan.name, file.stem);
    EXPECT_EQ(find_plan(file.stem).plan.stages.size(), read_plan(*plan).plan.stages.size());
  }
}

// True if the preset has a value for each of its layers, so that it has to keep their number.
bool is_by_layer(const ModelConfig& c) {
  return !c.early_exit.layer_widths.empty() || !c.early_exit.layer_contexts.empty() ||
         !c.halting.thresholds.empty() || !c.supervision.layer_supervision.list.empty();
}

// The last layer that loops; -1: none does, or the middle one of any number.
int64_t last_in_a_loop(const nlohmann::json& groups) {
  if (!groups.is_array()) return groups.is_number_integer() ? groups.get<int64_t>() : -1;
  int64_t last = -1;
  for (const nlohmann::json& inner : groups) last = std::max(last, last_in_a_loop(inner));
  return last;
}

// The model that the file's first lines train, "fathom train PRESET config/..."; empty: of any.
std::string model_of_file(const std::string& text) {
  const std::string command = "fathom train ";
  const size_t begin = text.find(command);
  if (begin == text.npos) return "";
  const size_t name = begin + command.size();
  const auto& architecture =
      preset_config(text.substr(name, text.find(' ', name) - name)).model.architecture;
  return architecture == nullptr ? "" : architecture->name;
}

// An experiment's with keys of its own: to all of its presets with the model that it is for.
TEST(ShippedConfigs, ApplyToEveryPreset) {
  for (const Shipped& file : shipped_files())
    for (const Preset& preset : registry().presets()) {
      SCOPED_TRACE(file.path + " on " + preset.name);
      RunConfig config = preset_config(preset.name);
      const bool has_own = std::any_of(
          registry().presets().begin(), registry().presets().end(), [&](const Preset& other) {
            return other.experiment == file.experiment &&
                   preset_config(other.name).model.architecture != nullptr;
          });
      if (has_own && preset.experiment != file.experiment) continue;
      const std::string model = model_of_file(testing::slurp(file.path));
      if (has_own && !model.empty() &&
          (config.model.architecture == nullptr || config.model.architecture->name != model))
        continue;
      const int64_t layers = config.model.backbone.n_layer;
      FieldList list;
      add_fields(list, config);
      read_config_file(file.path, list);
      if (config.model.backbone.n_layer != layers && is_by_layer(config.model))
        EXPECT_THAT(refusal_of([&] { resolve(list, config); }).what(), HasSubstr("n_layer = "));
      else if (last_in_a_loop(list.find("loop_groups")->value()) >= config.model.backbone.n_layer)
        EXPECT_THAT(refusal_of([&] { resolve(list, config); }).what(), HasSubstr("loop_groups"));
      else if (config.model.wiring.has_wiring() &&
               config.model.backbone.block_style != BlockStyle::kGpt2)
        EXPECT_THAT(refusal_of([&] { resolve(list, config); }).what(), HasSubstr("block_style"));
      else
        EXPECT_NO_THROW(resolve(list, config));
    }
}

}  // namespace
}  // namespace fathom
