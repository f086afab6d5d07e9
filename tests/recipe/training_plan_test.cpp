// Training plans as files: what is read, and what is refused.
#include "fathom/train/recipe/training_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "fathom/base/text.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/plan_data.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::refusal_of;

using Unit = Budget::Unit;

TrainingPlan plan_of(const std::string& text) {
  return read_plan(text, "x.json").plan;
}

// The sentence and the hint.
std::string plan_refusal(const std::string& text) {
  const Error e = refusal_of([&] { read_plan(text, "x.json"); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
  EXPECT_TRUE(is_printable(e.what())) << e.what();
  EXPECT_FALSE(e.hint().empty()) << e.what();
  return std::string(e.what()) + " HINT: " + e.hint();
}

std::vector<std::string> names_of(const TrainingPlan& plan) {
  std::vector<std::string> names;
  for (const Stage& stage : plan.stages) names.push_back(stage.name);
  return names;
}

TEST(TrainingPlan, LmplaysFirstForm) {
  const WrittenPlan written = read_plan(R"({
    "datasets": {"w": {"ds_loader": "wiki", "args": ["en"], "kwargs": {"date": "20231101"}},
                 "q": {"ds_loader": "openorca"},
                 "t": {"ds_loader": "hf", "args": ["roneneldan/TinyStories"]}},
    "steps": [{"datasets": ["w", "t"], "epochs": 0.5, "step_name": "first",
               "interleve_stopping_strategy": "all_exhausted"},
              {"datasets": ["q"]}],
    "seed": 3})",
                                        "dir/x.json");
  const TrainingPlan& plan = written.plan;
  EXPECT_EQ(plan.name, "x.json");
  EXPECT_THAT(names_of(plan), ElementsAre("first", "1"));
  EXPECT_EQ(plan.stages[0].budget, (Budget{Unit::kEpochs, 0.5}));
  EXPECT_THAT(plan.stages[0].overrides, ElementsAre(Pair("dataset", "wiki_en,tinystories"),
                                                    Pair("mixture", "all_exhausted")));
  EXPECT_EQ(plan.stages[1].budget, (Budget{Unit::kEpochs, 1})) << "LMPlay's default";
  EXPECT_THAT(plan.stages[1].overrides, ElementsAre(Pair("dataset", "openorca")));
  EXPECT_THAT(written.notices, Contains(HasSubstr("seed has no effect")));
  EXPECT_THAT(written.notices, Contains(HasSubstr("date has no effect")));
}

TEST(TrainingPlan, TheSecondFormKeepsItsOrder) {
  const TrainingPlan plan = plan_of(R"({"zebra": {"dataset": "wikipedia", "epochs": 2},
                                        "ant": {"dataset": "openorca", "steps": 500},
                                        "steps": {"dataset": "rain", "tokens": 1e6}})");
  EXPECT_THAT(names_of(plan), ElementsAre("zebra", "ant", "steps"));
  EXPECT_EQ(plan.stages[0].budget, (Budget{Unit::kEpochs, 2}));
  EXPECT_EQ(plan.stages[1].budget, (Budget{Unit::kSteps, 500}));
  EXPECT_EQ(plan.stages[2].budget, (Budget{Unit::kTokens, 1e6}));
  EXPECT_THAT(plan.stages[0].overrides, ElementsAre(Pair("dataset", "wikipedia")));
}

TEST(TrainingPlan, StagesWithoutANameAreCalledByTheirNumber) {
  EXPECT_THAT(names_of(plan_of(R"({"steps": [{"dataset": "a"}, {"dataset": "b"}]})")),
              ElementsAre("0", "1"));
  EXPECT_THAT(plan_refusal(R"({"steps": [{"dataset": "a", "name": "1"}, {"dataset": "b"}]})"),
              HasSubstr("two stages called 1"));
}

TEST(TrainingPlan, EveryBudget) {
  const auto budget = [](const std::string& text) {
    return plan_of("{\"a\": {\"dataset\": \"x\"" + text + "}}").stages[0].budget;
  };
  EXPECT_EQ(budget(""), (Budget{Unit::kEpochs, 1}));
  EXPECT_EQ(budget(R"(, "steps": 7)"), (Budget{Unit::kSteps, 7}));
  EXPECT_EQ(budget(R"(, "iters": 1e3)"), (Budget{Unit::kSteps, 1000}));
  EXPECT_EQ(budget(R"(, "epochs": 0.25)"), (Budget{Unit::kEpochs, 0.25}));
  EXPECT_EQ(budget(R"(, "samples": 9)"), (Budget{Unit::kSamples, 9}));
  EXPECT_EQ(budget(R"(, "tokens": 5000000000)"), (Budget{Unit::kTokens, 5e9}));
  EXPECT_EQ(budget(R"(, "minutes": 1.5)"), (Budget{Unit::kMinutes, 1.5}));
  for (const char* wrong : {R"("epochs": 0)", R"("epochs": -1)", R"("steps": 0)", R"("steps": 1.5)",
                            R"("tokens": "9")", R"("minutes": null)", R"("minutes": true)",
                            R"("samples": [1])", R"("steps": 1e13)", R"("epochs": 1e300)"})
    EXPECT_THAT(plan_refusal(std::string(R"({"a": {"dataset": "x", )") + wrong + "}}"),
                AllOf(HasSubstr("the stage a has "), HasSubstr("allowed: ")))
        << wrong;
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x", "epochs": 1e999}})"), HasSubstr("too large"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x", "epochs": 1, "steps": 5}})"),
              HasSubstr("lasts for steps and for epochs"));
}

TEST(TrainingPlan, OverridesAreTheRunsOwnKeys) {
  const Stage stage = plan_of(R"({"a": {"dataset": "x", "overrides": {
      "lr": 1e-4, "weight_decay": "0.5", "freeze": "mlp.*", "min_lr": null, "sampling": "sequential",
      "eval_interval": 50, "spike_sigma": 3, "decay_lr": false}}})")
                          .stages[0];
  EXPECT_THAT(stage.overrides, ElementsAre(Pair("dataset", "x"), Pair("learning_rate", "0.0001"),
                                           Pair("weight_decay", "0.5"), Pair("freeze", "mlp.*"),
                                           Pair("min_lr", "None"), Pair("sampling", "sequential"),
                                           Pair("eval_interval", "50"), Pair("spike_sigma", "3"),
                                           Pair("decay_lr", "false")));
}

TEST(TrainingPlan, AStageMayBeginSpectralControl) {
  const Stage stage = plan_of(R"({"a": {"dataset": "x", "overrides": {
      "spectral_clip_beta": 0.5, "spectral_method": "svd"}}})")
                          .stages[0];
  EXPECT_EQ(override_of(stage, "spectral_clip_beta"), "0.5");
  EXPECT_EQ(override_of(stage, "spectral_method"), "svd");
}

TEST(TrainingPlan, AStageMayChangeWhatAPassDoes) {
  const Stage stage = plan_of(R"({"a": {"dataset": "x", "overrides": {
      "max_loops": 3, "loop_sampling_strategy": "fixed", "loops_backprop_depth": 2,
      "halt_threshold": 0.5}}})")
                          .stages[0];
  EXPECT_EQ(override_of(stage, "max_loops"), "3");
  EXPECT_EQ(override_of(stage, "loop_sampling_strategy"), "fixed");
  EXPECT_EQ(override_of(stage, "loops_backprop_depth"), "2");
  EXPECT_EQ(override_of(stage, "halt_threshold"), "0.5");
}

TEST(Stages, PassAlikeWhereNoKeyOfAPassDiffers) {
  ModelConfig a, b;
  EXPECT_TRUE(pass_alike(a, b));
  b.backbone.n_layer = 3;
  EXPECT_TRUE(pass_alike(a, b)) << "that shapes weights";
  b.halting.threshold = 0.5;
  EXPECT_FALSE(pass_alike(a, b));
  ModelConfig c;
  c.looping.sampling = LoopSampling::kFixed;
  EXPECT_FALSE(pass_alike(a, c)) << "how often loops run in training";
  c = a;
  c.looping.norm = LoopNorm::kRms;
  EXPECT_TRUE(pass_alike(a, c)) << "a norm has weights";
}

TEST(TrainingPlan, OverridesThatAreNotAStagesAreRefused) {
  const auto with = [](const std::string& overrides) {
    return plan_refusal(R"({"a": {"dataset": "x", "steps": 5, "overrides": {)" + overrides + "}}}");
  };
  for (const char* key :
       {"n_layer", "dropout", "seed", "device", "dtype", "amp", "threads", "eval_only",
        "keep_checkpoints", "vocab_size", "layer_heads", "loop_groups", "loop_norm"})
    EXPECT_THAT(with("\"" + std::string(key) + "\": 1"),
                AllOf(HasSubstr(std::string("sets ") + key + ", which is one for the whole run"),
                      HasSubstr("a stage may set those of data, optimizer")))
        << key;
  EXPECT_THAT(with(R"("max_iters": 5)"), HasSubstr("sets max_iters and lasts for 5 steps"));
  EXPECT_THAT(with(R"("learning_rat": 5)"),
              AllOf(HasSubstr("learning_rat"), HasSubstr("did you mean learning_rate?")));
  EXPECT_THAT(with(R"("learning_rate": -5)"), HasSubstr("out of range"));
  EXPECT_THAT(with(R"("learning_rate": "x")"), HasSubstr("wrong type"));
  EXPECT_THAT(with(R"("freeze": 5)"), HasSubstr("wrong type"));
  EXPECT_THAT(with(R"("lr": 1, "learning_rate": 2)"), HasSubstr("sets learning_rate twice"));
  EXPECT_THAT(with(R"("lr": {"a": 1})"), HasSubstr("an object as learning_rate"));
  EXPECT_THAT(with(R"("dataset": "y")"), HasSubstr("sets dataset twice"));
}

TEST(TrainingPlan, MixturesInEverySpelling) {
  const auto mixture = [](const std::string& text) {
    return override_of(plan_of(R"({"a": {"datasets": ["x", "y"], )" + text + "}}").stages[0],
                       "mixture");
  };
  EXPECT_EQ(mixture(R"("mixture": "all_exhausted")"), "all_exhausted");
  EXPECT_EQ(mixture(R"("interleave_stopping_strategy": "first_exhausted")"), "first_exhausted");
  EXPECT_EQ(mixture(R"("interleve_stopping_strategy": "all_exhausted")"), "all_exhausted");
  EXPECT_EQ(mixture(R"("mixture_weights": [1, 2.5])"), "weighted");
  EXPECT_EQ(mixture(R"("epochs": 1)"), "") << "the key's own default";
  EXPECT_EQ(
      override_of(plan_of(R"({"a": {"dataset": "x,y", "mixture_weights": [1, 3]}})").stages[0],
                  "mixture_weights"),
      "[1, 3]");
  const auto wrong = [](const std::string& text) {
    return plan_refusal(R"({"a": {"datasets": ["x", "y"], )" + text + "}}");
  };
  EXPECT_THAT(wrong(R"("mixture": "all_exausted")"), HasSubstr("did you mean all_exhausted?"));
  EXPECT_THAT(wrong(R"("mixture": "weighted")"), HasSubstr("mixture_weights"));
  EXPECT_THAT(wrong(R"("mixture": "all_exhausted", "mixture_weights": [1, 1])"),
              HasSubstr("has weights"));
  for (const char* weights : {"[1]", "[1, 0]", "[1, -2]", "[1, \"2\"]", "3", "[1, 2, 3]"})
    EXPECT_THAT(wrong(std::string("\"mixture_weights\": ") + weights), HasSubstr("above 0"))
        << weights;
  EXPECT_THAT(
      wrong(R"("mixture": "all_exhausted", "interleve_stopping_strategy": "all_exhausted")"),
      HasSubstr("keep one of the two"));
  const WrittenPlan one = read_plan(R"({"a": {"dataset": "x", "mixture": "all_exhausted"}})", "x");
  EXPECT_EQ(override_of(one.plan.stages[0], "mixture"), "");
  EXPECT_THAT(one.notices, ElementsAre(HasSubstr("nothing to be mixed")));
}

TEST(TrainingPlan, WhatIsNoPlanIsRefused) {
  EXPECT_THAT(plan_refusal("{}"), HasSubstr("x.json has no stages"));
  EXPECT_THAT(plan_refusal(R"({"steps": []})"), HasSubstr("no stages"));
  EXPECT_THAT(plan_refusal("[]"), HasSubstr("is no object"));
  EXPECT_THAT(plan_refusal(""), HasSubstr("is not JSON"));
  EXPECT_THAT(plan_refusal(R"({"datasets": {}})"), HasSubstr("no list of steps"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x"}, "a": {"dataset": "y"}})"),
              HasSubstr("twice"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x", "epoch": 1}})"),
              AllOf(HasSubstr("unknown key \"epoch\""), HasSubstr("did you mean epochs?")));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x", "step_name": "b"}})"),
              HasSubstr("unknown key"));
  EXPECT_THAT(plan_refusal(R"({"steps": [{"dataset": "x"}], "sed": 1})"), HasSubstr("\"sed\""));
  EXPECT_THAT(plan_refusal(R"({"a": []})"), HasSubstr("the stage \"a\" is no object"));
  EXPECT_THAT(plan_refusal(R"({"a": {"datasets": []}})"), HasSubstr("empty list"));
  EXPECT_THAT(plan_refusal(R"({"a": {"datasets": ["x", "x"]}})"), HasSubstr("twice"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": ""}})"), HasSubstr("as its data set"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": 5}})"), HasSubstr("has 5 as its data set"));
  EXPECT_THAT(plan_refusal(R"({"a": {"dataset": "x", "datasets": ["y"]}})"),
              HasSubstr("has dataset and datasets"));
  for (const char* name : {"", "a/b", "é", ".. ", "a b"})
    EXPECT_THAT(plan_refusal("{\"" + std::string(name) + "\": {\"dataset\": \"x\"}}"),
                HasSubstr("a name is 1 to 64 of letters"))
        << name;
  EXPECT_THAT(
      plan_refusal(R"({"datasets": {"w": {"ds_loader": "wiki"}}, "steps": [{"datasets": ["v"]}]})"),
      AllOf(HasSubstr("unknown data set \"v\""), HasSubstr("did you mean w?")));
}

TEST(TrainingPlan, LoadersNameCorpora) {
  const auto data = [](const std::string& loader) {
    return override_of(
        plan_of(R"({"datasets": {"d": )" + loader + R"(}, "steps": [{"datasets": ["d"]}]})")
            .stages[0],
        "dataset");
  };
  EXPECT_EQ(data(R"({"ds_loader": "wiki"})"), "wiki_en");
  EXPECT_EQ(data(R"({"ds_loader": "wiki", "args": ["es"]})"), "wiki_es");
  EXPECT_EQ(data(R"({"ds_loader": "wiki", "args": ["20231101.es"]})"), "wiki_es");
  EXPECT_EQ(data(R"({"ds_loader": "wiki", "kwargs": {"language": "simple"}})"), "wiki_simple");
  EXPECT_EQ(data(R"({"ds_loader": "openorca"})"), "openorca");
  EXPECT_EQ(data(R"({"ds_loader": "hf", "args": ["HuggingFaceTB/smoltalk", "all"]})"), "smoltalk");
  EXPECT_EQ(data(R"({"ds_loader": "hf", "kwargs": {"path": "someone/Some-Texts"}})"), "some-texts");
  EXPECT_EQ(data(R"({"ds_loader": "jsonl", "args": ["in/rows.jsonl"]})"), "in/rows.jsonl");
  const auto wrong = [](const std::string& loader) {
    return plan_refusal(R"({"datasets": {"d": )" + loader +
                        R"(}, "steps": [{"datasets": ["d"]}]})");
  };
  EXPECT_THAT(wrong(R"({"ds_loader": "wikki"})"), HasSubstr("did you mean wiki?"));
  EXPECT_THAT(wrong(R"({"ds_loader": "wiki", "arg": []})"), HasSubstr("unknown key \"arg\""));
  EXPECT_THAT(wrong(R"({"ds_loader": "wiki", "kwargs": {"lanugage": "en"}})"),
              HasSubstr("did you mean language?"));
  EXPECT_THAT(wrong(R"({"ds_loader": "wiki", "args": ["../../x"]})"), HasSubstr("as its language"));
  EXPECT_THAT(wrong(R"({"ds_loader": "hf"})"), HasSubstr("does not say what to load"));
  EXPECT_THAT(wrong(R"({"args": ["en"]})"), HasSubstr("no ds_loader"));
  EXPECT_THAT(wrong("5"), HasSubstr("is no object"));
}

TEST(TrainingPlan, ReadsBackAsItWasWritten) {
  for (const std::string text :
       {R"({"zebra": {"datasets": ["x", "y"], "epochs": 0.1, "mixture": "all_exhausted",
            "overrides": {"validation_interval": 5, "eval_interval": 7, "freeze": ""}},
            "ant": {"tokens": 123456789012, "overrides": {"learning_rate": 1e-5}}})",
        R"({"steps": [{"dataset": "x", "minutes": 0.3}]})"}) {
    const TrainingPlan plan = plan_of(text);
    const json written = plan;
    EXPECT_EQ(json(written.get<TrainingPlan>()), written);
    EXPECT_EQ(json(read_plan(written.dump(), "plan.json").plan), written) << "as a plan of its own";
    const auto again = written.get<TrainingPlan>();
    ASSERT_EQ(again.stages.size(), plan.stages.size());
    EXPECT_EQ(again.name, plan.name);
    for (size_t i = 0; i < plan.stages.size(); ++i) {
      EXPECT_EQ(again.stages[i].name, plan.stages[i].name);
      EXPECT_EQ(again.stages[i].budget, plan.stages[i].budget);
      EXPECT_EQ(again.stages[i].overrides, plan.stages[i].overrides);
    }
  }
}

TEST(TrainingPlan, TheSameInToml) {
  const auto same = [](const std::string& toml, const std::string& text) {
    TrainingPlan plan = read_plan(toml, "x.toml").plan;
    EXPECT_EQ(plan.name, "x.toml");
    plan.name = "x.json";
    EXPECT_EQ(json(plan), json(plan_of(text))) << toml;
  };
  same(
      "[zebra]\ndataset = \"x\"\nepochs = 0.5\n[zebra.overrides]\nlearning_rate = 1e-3\n"
      "min_lr = \"none\"\n[ant]\ndatasets = [\"x\", \"y\"]\nsteps = 5\n",
      R"({"zebra": {"dataset": "x", "epochs": 0.5,
                     "overrides": {"learning_rate": 1e-3, "min_lr": null}},
           "ant": {"datasets": ["x", "y"], "steps": 5}})");
  same("[[steps]]\ndataset = \"x\"\nstep_name = \"b\"\n[[steps]]\ndataset = \"y\"\ntokens = 9\n",
       R"({"steps": [{"dataset": "x", "step_name": "b"}, {"dataset": "y", "tokens": 9}]})");
  EXPECT_THAT(refusal_of([] { read_plan("[a]\ndataset = ", "x.toml"); }).what(),
              HasSubstr("x.toml:2"));
  EXPECT_THAT(refusal_of([] { read_plan("[a]\nepochs = 2020-01-01", "x.toml"); }).what(),
              HasSubstr("dates and times"));
  EXPECT_THAT(refusal_of([] { read_plan("[a]\nepochs = nan", "x.toml"); }).what(),
              HasSubstr("has epochs = "));
}

TEST(TrainingPlan, SaysWhatItsStagesAre) {
  EXPECT_THAT(
      to_text(plan_of(R"({"a": {"dataset": "x", "epochs": 0.5,
                                        "overrides": {"learning_rate": 1e-3}},
                                  "b": {"steps": 1}})")),
      ElementsAre("a: x for 0.5 epochs, learning_rate = 0.001", "b: the run's data for 1 step"));
}

TEST(BuiltInPlans, AllOfLmplaysNamesAreThere) {
  std::vector<std::string> names;
  for (const BuiltInPlan& built_in : built_in_plans()) names.push_back(built_in.plan.name);
  EXPECT_THAT(names, ElementsAre("default", "wiki_en_es", "l_wiki_en_es", "full_v1", "full",
                                 "bigpretrain", "hugepretrain", "pretrain", "openorca",
                                 "tinystories", "orcamathword200", "smoltalk_all", "cosmopedia_v2",
                                 "instruction_ft", "l_instruction_ft", "all"));
}

TEST(BuiltInPlans, EachIsAPlanThatCouldHaveBeenWritten) {
  for (const BuiltInPlan& built_in : built_in_plans()) {
    const json written = built_in.plan;
    EXPECT_EQ(json(read_plan(written.dump(), "x").plan), written) << built_in.plan.name;
    EXPECT_FALSE(built_in.summary.empty());
    EXPECT_EQ(json(find_plan(built_in.plan.name).plan), written);
  }
  EXPECT_THAT(to_text(find_built_in_plan("default")->plan),
              ElementsAre("med_mix: tinystories,wiki_en,wiki_es,smoltalk for 1 epoch, mixture = "
                          "all_exhausted"));
}

TEST(BuiltInPlans, UnknownNamesAreToldTheNearest) {
  const Error e = refusal_of([] { find_plan("tinystorys"); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("neither a file nor a built-in training plan \"tinystorys\""));
  EXPECT_THAT(e.hint(), AllOf(HasSubstr("did you mean tinystories?"), HasSubstr("plan list")));
  for (const ShippedPlan& shipped : registry().plans())
    EXPECT_THAT(refusal_of([&] { find_plan(shipped.stem + "x"); }).hint(),
                HasSubstr("did you mean " + shipped.stem));
}

TEST(BuiltInPlans, EveryCorpusOfTheirsIsPublishedSomewhere) {
  for (const BuiltInPlan& built_in : built_in_plans())
    for (const Stage& stage : built_in.plan.stages)
      for (const std::string& part : data_parts(override_of(stage, "dataset"))) {
        const PublishedData* data = find_published_data(part);
        ASSERT_NE(data, nullptr) << part;
        EXPECT_THAT(data->published, HasSubstr("/"));
        EXPECT_EQ(data->published.find("://"), std::string::npos);
      }
}

}  // namespace
}  // namespace fathom
