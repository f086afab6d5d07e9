// Sweep recipes: what they list, and what is refused.
#include "fathom/train/recipe/sweep_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "errors.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::caught;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPreset = "preset = \"gpt2ish_shakespeare_cpu\"\n";

SweepRecipe read(const std::string& text) {
  return read_sweep(kPreset + text, "folder/width.toml");
}

std::vector<std::string> names_of(const std::vector<SweepRun>& runs) {
  std::vector<std::string> names;
  for (const SweepRun& run : runs) names.push_back(run.name);
  return names;
}

// The message and the hint.
std::string refused(const std::string& text) {
  const Error e = caught([&] { read(text); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  return std::string(e.what()) + "\n" + e.hint();
}

TEST(SweepRecipe, AGridIsEveryCombinationOfItsLists) {
  const SweepRecipe recipe = read(
      "seeds = [1, 2]\n[base]\nmax_iters = 50\n[grid]\nn_layer = [2, 4]\ndropout = [0.0, 0.1]\n");
  EXPECT_EQ(recipe.name, "width") << "the file's";
  const std::vector<SweepRun> runs = runs_of(recipe, "");
  EXPECT_THAT(names_of(runs),
              ElementsAre("width-n_layer2-dropout0.0-s1", "width-n_layer2-dropout0.1-s1",
                          "width-n_layer4-dropout0.0-s1", "width-n_layer4-dropout0.1-s1",
                          "width-n_layer2-dropout0.0-s2", "width-n_layer2-dropout0.1-s2",
                          "width-n_layer4-dropout0.0-s2", "width-n_layer4-dropout0.1-s2"))
      << "all settings of a seed before the next";
  EXPECT_THAT(runs[5].words,
              ElementsAre("gpt2ish_shakespeare_cpu", "--run_name=width-n_layer2-dropout0.1-s2",
                          "--max_iters=50", "--n_layer=2", "--dropout=0.1", "--seed=2"));
}

// "63" would name another recipe's runs too, the next time.
TEST(SweepRecipe, APipeGivesNoName) {
  for (const char* file : {"/dev/fd/63", "/dev/stdin", "/proc/self/fd/0"}) {
    const Error e = caught([&] { read_sweep(kPreset + "seeds = [1]\n", file); });
    EXPECT_THAT(e.what(), HasSubstr("has no name"));
    EXPECT_THAT(e.hint(), HasSubstr("name = \"NAME\""));
    EXPECT_EQ(read_sweep(kPreset + "name = \"w\"\nseeds = [1]\n", file).name, "w");
  }
}

TEST(SweepRecipe, SettingsMayBeListedOneByOne) {
  const SweepRecipe recipe = read(
      "name = \"both\"\nseeds = [7]\n[base]\ndropout = 0.2\n"
      "[[settings]]\nname = \"plain\"\n"
      "[[settings]]\nn_layer = 2\nlearning_rate = 1e-3\n"
      "[[settings]]\npreset = \"gpt2\"\n");
  const std::vector<SweepRun> runs = runs_of(recipe, "");
  EXPECT_THAT(names_of(runs),
              ElementsAre("both-plain-s7", "both-n_layer2-learning_rate0.001-s7", "both-gpt2-s7"));
  EXPECT_EQ(runs[2].words[0], "gpt2");
  EXPECT_THAT(runs[2].words, Contains("--dropout=0.2"));
  EXPECT_TRUE(recipe.settings[0].is_named);
  EXPECT_FALSE(recipe.settings[1].is_named);
}

TEST(SweepRecipe, WithoutSettingsThereAreSeedsOnly) {
  EXPECT_THAT(names_of(runs_of(read("seeds = [3, 1]"), "")), ElementsAre("width-s3", "width-s1"));
}

TEST(SweepRecipe, NamesOfRunsAreNamesWhateverTheirValues) {
  const SweepRecipe recipe = read(
      "seeds = [1]\n[base]\nn_layer = 2\n[grid]\n"
      "layer_widths = [\"[8, 8]\", \"[8, 16]\", \"[ 8, 8 ]\"]\n");
  EXPECT_THAT(
      names_of(runs_of(recipe, "")),
      ElementsAre("width-layer_widths_8_8-s1", "width-layer_widths_8_16-s1", "width-setting3-s1"));
  std::string many = "seeds = [1]\n[grid]\n";
  for (const char* key : {"n_layer", "n_head", "n_embd", "warmup_iters"})
    many += std::string(key) + " = [4]\n";
  many += "max_iters = [1000000, 1000001]\n";
  EXPECT_EQ(runs_of(read(many), "")[1].name, "width-setting2-s1") << "too long for a name";
}

TEST(SweepRecipe, ABudgetIsStepsOrAPlanOfOneStage) {
  const SweepRecipe steps = read("seeds = [1]\nbudget = {steps = 500}\n");
  EXPECT_THAT(runs_of(steps, "p.json")[0].words,
              AllOf(Contains("--max_iters=500"), Not(Contains(HasSubstr("plan")))));
  const SweepRecipe tokens = read("seeds = [1]\nbudget = {tokens = 1_000_000}\n");
  EXPECT_EQ(nlohmann::json::parse(tokens.plan_json),
            (nlohmann::json{{"all", {{"tokens", 1'000'000}}}}));
  EXPECT_THAT(runs_of(tokens, "p.json")[0].words, Contains("--training_plan=p.json"));
}

TEST(SweepRecipe, StagesAreAPlanInEitherOfItsForms) {
  const SweepRecipe list =
      read("seeds = [1]\n[[stages]]\nstep_name = \"b\"\nsteps = 10\n[[stages]]\nepochs = 0.5\n");
  EXPECT_EQ(nlohmann::json::parse(list.plan_json)["steps"][1]["epochs"], 0.5);
  const SweepRecipe named =
      read("seeds = [1]\n[stages.zeta]\nsteps = 10\n[stages.alpha]\ndataset = \"rain\"\n");
  EXPECT_LT(named.plan_json.find("zeta"), named.plan_json.find("alpha")) << "as they are written";
  EXPECT_THAT(runs_of(read("seeds = [1]\nplan = \"default\""), "p.json")[0].words,
              Contains("--training_plan=default"));
}

TEST(SweepRecipe, WhatIsUnknownIsRefusedWithTheNearest) {
  EXPECT_THAT(refused("seeds = [1]\nsetings = 3\n"),
              AllOf(HasSubstr("folder/width.toml: unknown key setings"), HasSubstr("settings?")));
  EXPECT_THAT(refused("seeds = [1]\n[base]\nn_layers = 3\n"),
              AllOf(HasSubstr("[base]"), HasSubstr("n_layers"), HasSubstr("n_layer?")));
  EXPECT_THAT(refused("seeds = [1]\n[grid]\ndropot = [0.1]\n"), HasSubstr("did you mean dropout?"));
  EXPECT_THAT(refused("seeds = [1]\nbudget = {stepps = 3}\n"), HasSubstr("did you mean steps?"));
  EXPECT_THAT(refused("seeds = [1]\n[[settings]]\npreset = \"gpt3\"\n"), HasSubstr("gpt2"));
}

TEST(SweepRecipe, WhatHasNoMeaningIsRefused) {
  EXPECT_THAT(refused(""), HasSubstr("seeds are missing"));
  EXPECT_THAT(refused("seeds = []"), HasSubstr("no list of whole numbers"));
  EXPECT_THAT(refused("seeds = [1, 1.5]"), HasSubstr("no list of whole numbers"));
  EXPECT_THAT(refused("seeds = [4, 2, 4]"), HasSubstr("the seed 4 is there twice"));
  EXPECT_THAT(refused("seeds = [1]\n[base]\nseed = 2"), HasSubstr("which is what seeds are for"));
  EXPECT_THAT(refused("seeds = [1]\n[grid]\nn_layer = 2"), HasSubstr("no list of values"));
  EXPECT_THAT(refused("seeds = [1]\n[grid]\nn_layer = []"), HasSubstr("no list of values"));
  EXPECT_THAT(refused("seeds = [1]\n[grid]\nn_layer = [0]"), HasSubstr("n_layer"));
  EXPECT_THAT(refused("seeds = [1]\n[base]\nn_layer = {a = 1}"), HasSubstr("is a table"));
  EXPECT_THAT(refused("seeds = [1]\nsettings = [{n_layer = 2}]\n[grid]\nn_layer = [2]"),
              HasSubstr("grid and settings both"));
  EXPECT_THAT(refused("seeds = [1]\nname = \"a/b\""), HasSubstr("no part of a run's name"));
  EXPECT_THAT(refused("seeds = [1]\nbudget = {steps = 0}"), HasSubstr("no amount above 0"));
  EXPECT_THAT(refused("seeds = [1]\nbudget = {steps = 1, tokens = 1}"), HasSubstr("one amount"));
  EXPECT_THAT(refused("seeds = [1]\nbudget = {steps = 5}\nplan = \"default\""),
              HasSubstr("budget and plan both"));
  EXPECT_THAT(refused("seeds = [1]\nbudget = {steps = 5}\n[base]\nmax_iters = 5"),
              HasSubstr("budget and [base] max_iters both"));
  EXPECT_THAT(refused("seeds = [1]\n[[settings]]\nname = \"a\"\n[[settings]]\nname = \"a\""),
              HasSubstr("two settings are called a"));
  EXPECT_THAT(refused("seeds = [1]\nwhen = 2026-01-01"), HasSubstr("dates and times"));
  EXPECT_THAT(std::string(caught([] { read_sweep("seeds = [1]", "a.toml"); }).what()),
              HasSubstr("preset is missing"));
  EXPECT_THAT(std::string(caught([] { read_sweep("seeds = [", "a.toml"); }).what()),
              HasSubstr("a.toml:1"));
}

TEST(SweepRecipe, MoreRunsThanAnybodyMeansAreRefusedBeforeTheyAreListed) {
  std::string text = "seeds = [1]\n[grid]\n";
  for (const char* key : {"n_layer", "n_head", "warmup_iters", "max_iters"})
    text += std::string(key) + " = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n";
  EXPECT_THAT(refused(text), HasSubstr("are more than 1000 runs"));
}

}  // namespace
}  // namespace fathom
