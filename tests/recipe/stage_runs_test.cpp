// From a plan to stages that can be trained, and every mistake on the way.
#include "fathom/train/recipe/stage_runs.h"

#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "data/data_testing.h"
#include "fathom/data/prepare.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/schedule.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::spill;

class StageRuns : public testing::DataTest {
 protected:
  StageRuns() {
    make("rain", "byte", 1000);
    make("sea", "byte", 3000);
  }
  // `bytes` of text, a tenth of it for validation.
  void make(const std::string& name, const std::string& tokenizer, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += "the " + name + " falls and the river rises\n";
    text.resize(bytes);
    spill(temp_ / (name + ".txt"), text);
    PrepareOptions options;
    options.what = temp_ / (name + ".txt");
    options.tokenizer = tokenizer;
    options.name = name;
    prepare(options);
  }
  // A preset without a schedule of its own, small enough for the texts.
  static RunConfig base(const std::vector<std::pair<std::string, std::string>>& settings = {}) {
    RunConfig config = preset_config("gpt2ish_shakespeare_cpu");
    FieldList list;
    add_fields(list, config);
    list.set_text("block_size", "16", "--block_size");
    list.set_text("batch_size", "4", "--batch_size");
    list.set_text("dataset", "rain", "--dataset");
    for (const auto& [key, text] : settings) list.set_text(key, text, "--" + key);
    resolve(list, config);
    return config;
  }
  static TrainingPlan plan_of(const std::string& text) { return read_plan(text, "x.json").plan; }
  static std::vector<StageRun> stages_of(const std::string& text, const RunConfig& config) {
    std::vector<std::string> notices;
    return resolve_plan(plan_of(text), config, notices);
  }
  static std::vector<std::string> mistakes(const std::string& text, const RunConfig& config) {
    std::vector<std::string> out;
    for (const Error& e : look_over(plan_of(text), config).mistakes)
      out.push_back(std::string(e.what()) + " HINT: " + e.hint());
    return out;
  }
  // All that stages are, as text.
  static std::vector<std::string> shown(const std::vector<StageRun>& stages) {
    std::vector<std::string> out;
    for (const StageRun& stage : stages) {
      RunConfig config = stage.config;
      FieldList list;
      add_fields(list, config);
      std::string line = stage.name + " " + to_text(stage.budget);
      for (const Field& field : list.all()) line += " " + as_override(field);
      for (const Corpus& corpus : stage.corpora) line += " " + corpus.fingerprint();
      out.push_back(line);
    }
    return out;
  }
};

TEST_F(StageRuns, AreTheRunWithTheirOverrides) {
  const auto stages = stages_of(
      R"({"a": {"dataset": "sea", "steps": 50, "overrides": {"learning_rate": 0.5}},
          "b": {"epochs": 2}})",
      base({{"learning_rate", "0.25"}, {"max_iters", "700"}}));
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages[0].name, "a");
  EXPECT_EQ(stages[0].config.optimizer.learning_rate, 0.5);
  EXPECT_EQ(stages[0].config.training.max_iters, 50) << "its schedule ends with it";
  EXPECT_EQ(stages[0].corpora.at(0).name(), "sea");
  EXPECT_EQ(stages[1].config.optimizer.learning_rate, 0.25) << "the run's, not the stage before";
  EXPECT_EQ(stages[1].corpora.at(0).name(), "rain") << "the run's own data";
  EXPECT_EQ(stages[1].config.data.dataset, "rain");
  EXPECT_EQ(stages[1].budget, (Budget{Budget::Unit::kEpochs, 2}));
  EXPECT_EQ(stages[1].config.training.max_iters, (2 * 56 + 3) / 4) << "windows, four a step";
}

// The preset's decay is AdamW's: SGD leaves it off, and a stage that goes back to AdamW has it
// again, also where a resume begins with the stage that has not.
TEST_F(StageRuns, AnOptimiserThatDecouplesTheDecayHasThePresetsAgain) {
  const auto decays = [](const std::vector<StageRun>& stages) {
    std::vector<double> out;
    for (const StageRun& stage : stages) out.push_back(stage.config.optimizer.weight_decay);
    return out;
  };
  const double own = base().optimizer.weight_decay;
  ASSERT_GT(own, 0);
  const TrainingPlan plan = plan_of(R"({"a": {"steps": 5},
      "b": {"steps": 5, "overrides": {"optimizer": "adamw"}},
      "c": {"steps": 5, "overrides": {"optimizer": "adagrad"}},
      "d": {"steps": 5, "overrides": {"optimizer": "adamw", "weight_decay": 0}}})");
  const RunConfig sgd = base({{"optimizer", "sgd"}});
  std::vector<std::string> notices;
  const std::vector<StageRun> stages = resolve_plan(plan, sgd, notices);
  EXPECT_THAT(decays(stages), ElementsAre(0, own, 0, 0));
  EXPECT_THAT(notices, Contains(AllOf(HasSubstr("the stage b: weight_decay = "),
                                      HasSubstr("decouples it again"))));
  RunConfig saved = stages[0].config;
  saved.optimizer.decay_left_off = 0;  // a checkpoint has keys alone
  EXPECT_THAT(decays(resolve_plan(completed(plan, sgd, stages), saved, notices)),
              ElementsAre(0, own, 0, 0));
  const RunConfig none = base({{"optimizer", "sgd"}, {"weight_decay", "0"}});
  EXPECT_THAT(decays(resolve_plan(plan, none, notices)), ElementsAre(0, 0, 0, 0))
      << "none asked for";
  const RunConfig coupled = base({{"optimizer", "sgd"}, {"weight_decay", "0.25"}});
  EXPECT_THAT(decays(resolve_plan(plan, coupled, notices)),
              ElementsAre(0.25, 0.25, ::testing::_, 0));
}

TEST_F(StageRuns, EveryMistakeIsToldBeforeTheFirstStep) {
  make("letters", "char", 1000);
  const auto told = mistakes(
      R"({"a": {"dataset": "rian", "steps": 5},
          "b": {"dataset": "rain", "steps": 5, "overrides": {"min_lr": 0.9}},
          "c": {"dataset": "wiki_en"},
          "d": {"dataset": "letters"}, "e": {"dataset": "rain"}})",
      base());
  ASSERT_EQ(told.size(), 4U);
  EXPECT_THAT(told[0], AllOf(HasSubstr("the stage a: the data \"rian\" is not prepared"),
                             HasSubstr("did you mean rain?")));
  EXPECT_THAT(told[1], AllOf(HasSubstr("the stage b: min_lr = 0.9 is above learning_rate")));
  EXPECT_THAT(told[2],
              AllOf(HasSubstr("the stage c: the data \"wiki_en\" is not prepared"),
                    HasSubstr("download wikimedia/wikipedia, 20231101.en"),
                    HasSubstr("`fathom prepare wikipedia --input FOLDER --name=wiki_en`")));
  EXPECT_THAT(told[3], HasSubstr("the stages d and e have different tokenizers"));
  const Error first = refusal_of([&] {
    std::vector<std::string> notices;
    resolve_plan(plan_of(R"({"a": {"dataset": "rian"}, "b": {"dataset": "wiki_en"}})"), base(),
                 notices);
  });
  EXPECT_EQ(first.kind(), ErrorKind::kUsage);
  EXPECT_THAT(first.what(), HasSubstr("the stage a"));
}

TEST_F(StageRuns, AllSpeakOneLanguage) {
  make("letters", "char", 1000);
  EXPECT_THAT(
      mistakes(
          R"({"a": {"dataset": "rain"}, "b": {"dataset": "sea"}, "c": {"dataset": "letters"}})",
          base()),
      ElementsAre(AllOf(HasSubstr("the stages a and c have different tokenizers"),
                        HasSubstr("rain (byte, vocabulary 256)"), HasSubstr("letters (char"))));
  EXPECT_THAT(mistakes(R"({"a": {"dataset": "rain"}, "b": {"dataset": "sea"}})", base()),
              IsEmpty());
}

TEST_F(StageRuns, TextsAreLongerThanAWindow) {
  EXPECT_THAT(mistakes(R"({"a": {"dataset": "sea"}, "b": {"dataset": "rain"}})",
                       base({{"block_size", "200"}})),
              ElementsAre(AllOf(HasSubstr("the stage b: the split val of rain has 100 tokens"),
                                HasSubstr("block_size"))));
}

TEST_F(StageRuns, AFileIsTheCorpusThatWasMadeOfIt) {
  const std::string plan = "{\"a\": {\"dataset\": \"" + (temp_ / "rain.txt") + "\", \"steps\": 1}}";
  const auto stages = stages_of(plan, base());
  EXPECT_EQ(stages[0].corpora[0].name(), "rain");
  EXPECT_EQ(stages[0].config.data.dataset, "rain") << "what other verbs open later";
  spill(temp_ / "new.jsonl", "{}");
  EXPECT_THAT(
      mistakes("{\"a\": {\"dataset\": \"" + (temp_ / "new.jsonl") + "\"}}", base()),
      ElementsAre(AllOf(HasSubstr("is a file: it is prepared before"),
                        HasSubstr("`fathom prepare " + (temp_ / "new.jsonl") + " --name=new`"))));
  const auto folder = stages_of("{\"a\": {\"dataset\": \"" + (temp_ / "data/sea") + "\"}}", base());
  EXPECT_EQ(folder[0].corpora[0].name(), "sea");
}

TEST_F(StageRuns, ACorpusIsOpenedOnceHoweverManyStagesNameIt) {
  const auto stages = stages_of(
      R"({"a": {"dataset": "sea"}, "b": {"dataset": "rain"}, "c": {"dataset": "sea"}})", base());
  EXPECT_EQ(&stages[0].corpora[0].shards("train"), &stages[2].corpora[0].shards("train"));
}

TEST_F(StageRuns, WhatIsSaidOfTheRunIsNotSaidOfEveryStage) {
  std::vector<std::string> notices;
  resolve_plan(plan_of(R"({"a": {"steps": 500}, "b": {"steps": 10}})"), base(), notices);
  EXPECT_THAT(notices, ElementsAre(AllOf(HasSubstr("the stage b: warmup_iters = 100"),
                                         HasSubstr("10 steps never reach"))));
}

// What a checkpoint keeps gives the same stages over the configuration of any of them.
TEST_F(StageRuns, ACompletedPlanNeedsNoBase) {
  const RunConfig run = base({{"validation_interval", "40"}, {"learning_rate", "0.25"}});
  const TrainingPlan plan = plan_of(
      R"({"a": {"dataset": "sea", "steps": 50, "overrides": {"learning_rate": 0.5}},
          "b": {"epochs": 0.5, "overrides": {"eval_interval": 7, "freeze": "mlp.*"}},
          "c": {"minutes": 1, "overrides": {"min_lr": 0.01, "decay_rule": "mlp_and_head"}},
          "d": {"dataset": "rain", "tokens": 5000}})");
  std::vector<std::string> notices;
  const auto stages = resolve_plan(plan, run, notices);
  EXPECT_EQ(stages[0].config.training.validation_interval, 40);
  EXPECT_EQ(stages[1].config.training.validation_interval, std::nullopt) << "steps count there";
  const TrainingPlan whole = completed(plan, run, stages);
  const auto repeated = [](std::vector<StageRun> s) {  // minutes do not, nor say how many steps
    for (StageRun& stage : s)
      if (stage.budget.unit == Budget::Unit::kMinutes) stage.config.training.max_iters = 0;
    return shown(s);
  };
  for (const StageRun& stage : stages) {
    SCOPED_TRACE(stage.name);
    const auto again = resolve_plan(whole, stage.config, notices);
    EXPECT_EQ(repeated(again), repeated(stages));
    EXPECT_EQ(json(completed(whole, stage.config, again)), json(whole));
  }
  EXPECT_EQ(json(json(whole).get<TrainingPlan>()), json(whole)) << "and can be written";
  EXPECT_THAT(keys_of_every_stage(whole), AllOf(Contains("learning_rate"), Contains("dataset"),
                                                ::testing::Not(Contains("beta1"))));
}

TEST_F(StageRuns, ForecastsCountSteps) {
  const RunConfig run = base({{"decay_lr", "false"}, {"eval_interval", "10"}});
  const auto steps = [&](const std::string& budget) {
    return forecast(stages_of("{\"a\": {" + budget + "}}", run)[0]);
  };
  const int64_t windows = (900 - 1) / 16, per_step = 4;
  EXPECT_EQ(steps(R"("epochs": 1)").epoch, windows);
  EXPECT_EQ(steps(R"("epochs": 1)").steps, (windows + per_step - 1) / per_step);
  EXPECT_EQ(steps(R"("epochs": 3)").steps, (3 * windows + per_step - 1) / per_step);
  EXPECT_EQ(steps(R"("epochs": 0.001)").steps, 1);
  EXPECT_EQ(steps(R"("samples": 8)").steps, 2);
  EXPECT_EQ(steps(R"("samples": 9)").steps, 3);
  EXPECT_EQ(steps(R"("tokens": 640)").steps, 10);
  EXPECT_EQ(steps(R"("tokens": 641)").steps, 11);
  EXPECT_EQ(steps(R"("tokens": 641)").tokens, 11 * 64);
  EXPECT_EQ(steps(R"("steps": 25)").steps, 25);
  EXPECT_EQ(steps(R"("steps": 25)").evaluations, 4) << "0, 10, 20, 25";
  EXPECT_EQ(steps(R"("steps": 30)").evaluations, 4) << "0, 10, 20, 30";
  EXPECT_EQ(steps(R"("minutes": 2)").steps, std::nullopt);
  EXPECT_EQ(steps(R"("minutes": 2)").tokens, std::nullopt);
  EXPECT_EQ(steps(R"("minutes": 2)").last_rate, run.optimizer.learning_rate);
}

// Every number of the forecast is that of a run which counts.
TEST_F(StageRuns, ForecastsAgreeWithCounting) {
  for (const char* budget : {"\"epochs\": 0.7", "\"samples\": 77", "\"tokens\": 3000"})
    for (const char* interval : {"eval_interval", "validation_interval"}) {
      SCOPED_TRACE(std::string(budget) + " " + interval);
      const RunConfig run = base({{interval, "9"}, {"warmup_iters", "3"}});
      const StageRun stage = stages_of(std::string("{\"a\": {") + budget + "}}", run)[0];
      const Forecast f = forecast(stage);
      Progress p;
      int64_t step = 0, evaluations = 0;
      double part = 0, rate = 0, first = 0;
      while (true) {
        part = done(stage.budget, step, p, f.epoch);
        if (evaluation_due(stage.config, step, p) || part >= 1) ++evaluations;
        if (part >= 1) break;
        rate = learning_rate_at(stage.config, step, part);
        if (step == 0) first = rate;
        ++step;
        p.samples_before = p.samples;
        p.samples += 4;
        p.tokens += 64;
      }
      EXPECT_EQ(f.steps, step);
      EXPECT_EQ(f.tokens, p.tokens);
      EXPECT_EQ(f.evaluations, evaluations);
      EXPECT_EQ(f.first_rate, first);
      EXPECT_NEAR(f.last_rate.value(), rate, 0.1 * rate);
    }
}

TEST_F(StageRuns, BuiltInPlansSayWhatIsMissing) {
  for (const BuiltInPlan& built_in : built_in_plans()) {
    SCOPED_TRACE(built_in.plan.name);
    EXPECT_FALSE(missing_data(built_in.plan).empty());
    const Error e = refusal_of([&] {
      std::vector<std::string> notices;
      TrainingPlan plan = built_in.plan;
      for (Stage& stage : plan.stages) stage.overrides.resize(1);  // the data alone
      resolve_plan(plan, base(), notices);
    });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr("is not prepared"));
    EXPECT_THAT(e.hint(), AllOf(HasSubstr("download "), HasSubstr("`fathom prepare "),
                                HasSubstr(" --name=")));
  }
  make("tinystories", "byte", 1000);
  EXPECT_THAT(missing_data(find_built_in_plan("tinystories")->plan), IsEmpty());
  EXPECT_EQ(missing_data(find_built_in_plan("pretrain")->plan),
            (std::vector<std::string>{"wiki_en", "wiki_es"}));
}

// An experiment's key has the bounds of the preset that the plan is for, whatever another
// experiment's of the same name has.
TEST_F(StageRuns, KeysOfAnExperimentAreThoseOfThePreset) {
  const auto with = [](bool of_policy) {
    RunConfig config = base();
    const auto own = std::make_shared<Architecture>();
    own->name = "idea";
    own->add_fields = [of_policy](FieldList& list, OwnSettings& settings) {
      Field& field = list.add("lm_loss_weight", settings.number("lm_loss_weight", 0.5), "");
      field.at_least(-5).at_most(5);
      if (of_policy) field.of_policy();
    };
    config.model.architecture = own;
    FieldList list;
    add_fields(list, config);
    return config;
  };
  const auto plan = [](const char* value) {
    return R"({"a": {"dataset": "sea", "steps": 5, "overrides": {"lm_loss_weight": )" +
           std::string(value) + "}}}";
  };
  const Architecture& known = *preset_config("dag_small").model.architecture;
  RunConfig other = preset_config("dag_small");
  FieldList list;
  add_fields(list, other);
  EXPECT_THAT(refusal_of([&] { list.set_text("lm_loss_weight", "-3", "x"); }).what(),
              HasSubstr("lm_loss_weight"))
      << known.name << " has other bounds";
  RunConfig stage = stages_of(plan("-3"), with(true))[0].config;
  EXPECT_EQ(stage.model.own.number("lm_loss_weight", 0), -3);
  stage = stages_of(plan("\"-3\""), with(true))[0].config;
  EXPECT_EQ(stage.model.own.number("lm_loss_weight", 0), -3);
  EXPECT_THAT(mistakes(plan("-9"), with(true)), ElementsAre(HasSubstr("lm_loss_weight = -9")));
  EXPECT_THAT(mistakes(plan("-3"), with(false)),
              ElementsAre(HasSubstr("sets lm_loss_weight, which is one for the whole run")));
  EXPECT_THAT(mistakes(plan("-3"), base()), ElementsAre(HasSubstr("lm_loss_weight")));
}

TEST_F(StageRuns, MixturesOpenTheirParts) {
  const auto stages = stages_of(
      R"({"a": {"datasets": ["rain", "sea"], "mixture": "all_exhausted", "epochs": 1}})", base());
  ASSERT_EQ(stages[0].corpora.size(), 2U);
  EXPECT_EQ(stages[0].corpora[1].name(), "sea");
  EXPECT_EQ(stages[0].config.data.dataset, "rain,sea");
  EXPECT_EQ(forecast(stages[0]).epoch, 2 * ((2700 - 1) / 16)) << "the longest, for both";
}

}  // namespace
}  // namespace fathom
