#include "fathom/train/recipe/evaluations.h"

#include <gmock/gmock.h>

#include <tuple>

#include "errors.h"
#include "fathom/model/spec/policy.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::HasSubstr;
using ::testing::Not;

ModelConfig halting_model() {
  ModelConfig model;
  model.halting.rule = HaltRule::kMax;
  model.halting.threshold = 0.9;
  return model;
}

TEST(Evaluations, AreNamesWithWhatTheyDoOtherwise) {
  const auto all = parse_evaluations(
      "train; val ;strict: halt_threshold = 0.99, batches=50; deep: split=train, "
      "halt_thresholds=[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];",
      halting_model());
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].split, "train");
  EXPECT_FALSE(all[0].batches);
  EXPECT_EQ(all[1].split, "val");
  EXPECT_EQ(all[2].name, "strict");
  EXPECT_EQ(all[2].split, "val");
  EXPECT_EQ(all[2].batches, 50);
  EXPECT_EQ(with_settings(all[2], halting_model()).halting.threshold, 0.99);
  EXPECT_EQ(all[3].split, "train");
  EXPECT_EQ(with_settings(all[3], halting_model()).halting.thresholds.size(), 12U);
  EXPECT_EQ(deciding_evaluation(all), 1U);
  EXPECT_EQ(deciding_evaluation({{"a", "train", {}, {}}, {"b", "train", {}, {}}}), 0U);
}

TEST(Evaluations, MayLookElsewhereAhead) {
  ModelConfig model;
  model.ahead.predict_ahead = true;
  const auto all = parse_evaluations("val; far: shift=10; without: shift=0", model);
  EXPECT_EQ(with_settings(all[0], model).ahead.shift, 1);
  EXPECT_EQ(with_settings(all[1], model).ahead.shift, 10);
  EXPECT_EQ(with_settings(all[2], model).ahead.shift, 0);
  EXPECT_THAT(caught([&] { parse_evaluations("x: shift=11", model); }).what(),
              HasSubstr("shift = 11 is beyond max_shift = 10"));
  EXPECT_THAT(caught([&] { parse_evaluations("x: max_shift=3", model); }).what(),
              HasSubstr("sets max_shift, which is no matter of one pass"));
}

TEST(Evaluations, RefuseWhatIsNone) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "evaluations is empty"},
      {" ; ", "evaluations is empty"},
      {"val; val", "two of the name val"},
      {"test", "neither a split"},
      {"a/b: split=val", "has the name"},
      {"x: split=test", "split = \"test\""},
      {"x: batches=0", "batches = 0"},
      {"x: batches=2.5", "batches = 2.5"},
      {"x: n_layer=3", "sets n_layer, which is no matter of one pass"},
      {"x: layer_heads=true", "sets layer_heads"},
      {"x: halt_rule=learned", "halt_rule = learned goes by a gate"},
      {"x: halt_rule=fixed", "halt_rule = fixed with halt_threshold = None"},
      {"x: halt_rule=margin, halt_in_eval=expect", "halt_in_eval = expect is of a halt_rule"},
      {"x: halt_rule=bernoulli, halt_in_eval=expect, halt_keys=hidden",
       "halt_in_eval = expect with halt_keys"},
      {"x: halt_rule=bernoulli, mask_history=previous", "mask_history = previous"},
      {"x: eval_layers=24",
       "eval_layers = 24 of a model whose 12 layers have weights of their own"},
      {"x: halt_treshold=1", "unknown key halt_treshold"},
      {"x: halt_thresholds=[1, 2]", "has 2 entries"},
      {"x: strict", "no key=value"},
  };
  for (const auto& [text, why] : cases)
    EXPECT_THAT(caught([&] { parse_evaluations(text, halting_model()); }).what(), HasSubstr(why))
        << text;
}

TEST(Evaluations, OfAnotherExperimentsKeysSayWhoseTheyAre) {
  const auto hint = [](const char* text) {
    return caught([&] { parse_evaluations(text, halting_model()); }).hint();
  };
  EXPECT_THAT(hint("x: dag_clip=none"), HasSubstr("dag_clip is a key of dag"));
  EXPECT_EQ(hint("x: exit_threshold=0.5"), "here that is halt_threshold");
  EXPECT_THAT(hint("x: d_model=8"), Not(HasSubstr("n_embd"))) << "which none may set";
  EXPECT_EQ(hint("x: colour=2"), "`fathom train --help=all` lists every key");
}

ModelConfig looping_model() {
  return testing::resolved("gpt2ish_shakespeare", {{"loop_groups", "[[1]]"}, {"max_loops", "4"}})
      .config.model;
}

TEST(Evaluations, OfPassesThatCannotBeMadeAreRefusedBeforeOne) {
  const std::tuple<ModelConfig, const char*, const char*> cases[] = {
      {ModelConfig(), "x: loop_halt_rule=argmax", "loop_groups = [] has none"},
      {looping_model(), "x: loop_halt_rule=kl, loop_halt_threshold=[0.1, 0.2]",
       "loop_halt_threshold = [0.1, 0.2] has 2 entries"},
      {looping_model(), "x: loop_halt_rule=learned", "loop_halt_gate = false"},
  };
  for (const auto& [model, text, why] : cases) {
    const Error e = caught([&, m = model, t = text] { parse_evaluations(t, m); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_EQ(std::string(e.what()).rfind("evaluation x: ", 0), 0U) << e.what();
    EXPECT_THAT(e.what(), HasSubstr(why));
  }
  EXPECT_NO_THROW(parse_evaluations("x: loop_halt_rule=kl", looping_model()));
}

TEST(Evaluations, HaltByTheRuleThatTheyAskFor) {
  ModelConfig off = looping_model();
  off.loop_halting.automatic = false;
  const auto rule = [&](const char* text) {
    return with_settings(parse_evaluations(text, off).front(), off).loop_halting.acting_rule();
  };
  EXPECT_EQ(rule("x: loop_halt_rule=kl"), HaltRule::kKl);
  EXPECT_EQ(rule("x: automatic_loop_exit_mode=kl"), HaltRule::kKl);
  EXPECT_EQ(rule("x: loop_halt_rule=kl, automatic_loop_exit=false"), HaltRule::kNone);
  EXPECT_EQ(rule("x: max_loops=2"), HaltRule::kNone);
  for (const char* text : {"x: loop_halt_threshold=0.5", "x: loop_halt_unit=sequence"})
    EXPECT_THAT(caught([&] { parse_evaluations(text, off); }).what(),
                HasSubstr("by which tokens leave loops, and there is none"));
}

// They run as often as they say, by whatever rule tokens of the run leave its loops.
TEST(Evaluations, ThatFixCountsAreLeftOnlyByARuleOfTheirOwn) {
  ModelConfig exits = looping_model();
  exits.loop_halting.rule = HaltRule::kKl;
  const auto with = [&](const char* text) {
    return with_settings(parse_evaluations(text, exits).front(), exits);
  };
  for (const char* text : {"x: max_loops=15", "x: loop_counts=[15]"}) {
    const Policy policy = make_policy(with(text));
    ASSERT_EQ(policy.loops.size(), 1U);
    EXPECT_EQ(policy.loops[0].count, 15) << text;
    EXPECT_FALSE(policy.loops[0].halting.halts()) << text;
  }
  for (const char* text :
       {"x: max_loops=15, loop_halt_rule=kl", "x: max_loops=15, automatic_loop_exit_mode=kl",
        "x: max_loops=15, loop_halt_threshold=0.5", "x: loop_counts=[15], loop_halt_unit=sequence",
        "x: max_loops=15, automatic_loop_exit=true", "x: loop_noise_scale=1"})
    EXPECT_EQ(with(text).loop_halting.acting_rule(), HaltRule::kKl) << text;
  exits.loop_halting.automatic = true;
  for (const char* text : {"x: max_loops=15", "x: loop_counts_eval=sampled"})
    EXPECT_EQ(with(text).loop_halting.acting_rule(), HaltRule::kNone) << text;
}

TEST(Evaluations, MayDrawCountsAsTrainingDoes) {
  const auto draws = [](const char* text, const ModelConfig& model) {
    return draws_counts(make_policy(with_settings(parse_evaluations(text, model).front(), model)),
                        /*training=*/false);
  };
  ModelConfig model = looping_model();
  EXPECT_FALSE(draws("val", model));
  EXPECT_TRUE(draws("x: loop_counts_eval=sampled", model));
  model.looping.eval_counts = EvalCounts::kSampled;
  EXPECT_TRUE(draws("val", model));
  EXPECT_FALSE(draws("x: max_loops=3", model)) << "which are fixed";
  EXPECT_FALSE(draws("x: loop_counts_eval=fixed", model));
  for (const char* both :
       {"x: max_loops=3, loop_counts_eval=sampled", "x: loop_counts_eval=sampled, loop_counts=[3]"})
    EXPECT_THAT(caught([&] { parse_evaluations(both, model); }).what(),
                HasSubstr("loop_counts_eval = sampled draws counts"));
  model.looping.sampling = LoopSampling::kFixed;
  for (const ModelConfig& never : {model, ModelConfig()})
    EXPECT_THAT(caught([&] { parse_evaluations("x: loop_counts_eval=sampled", never); }).what(),
                HasSubstr("training draws no counts"));
}

// Of a model that was trained without: where all layers can be asked by the head that is there.
TEST(Evaluations, AskByARuleThatNeedsNoOtherWeights) {
  ModelConfig model;
  const auto with = [&](const char* text) {
    return with_settings(parse_evaluations(text, model).front(), model).halting;
  };
  EXPECT_EQ(with("x: halt_rule=max").threshold_at(0), 0.9);
  EXPECT_EQ(with("x: halt_rule=entropy, halt_threshold=2").threshold_at(0), 2);
  model = halting_model();
  model.halting.thresholds.assign(12, 0.7);
  EXPECT_EQ(with("x: halt_rule=kl").threshold_at(3), 1e-3) << "the run's is of another rule";
  EXPECT_EQ(with("x: halt_use=log").threshold_at(3), 0.7);
  model = ModelConfig();
  model.backbone.tie_head = false;
  model.early_exit.layer_heads = true;
  const Error e = caught([&] { parse_evaluations("x: halt_rule=max", model); });
  EXPECT_THAT(e.what(), HasSubstr("halt_rule = max needs other weights"));
  EXPECT_THAT(e.hint(), HasSubstr("layer_heads"));
}

// An objective that asks who halts, or who is asked, is one of training.
TEST(Evaluations, MayLetNobodyHalt) {
  ModelConfig model = halting_model();
  const auto rule = [&](const char* text) {
    return with_settings(parse_evaluations(text, model).front(), model).halting;
  };
  for (const char* objective : {"conf_5", "conf_3", "skip_easy", ""}) {
    model.supervision.objective = objective;
    model.supervision.layer_supervision = {"skip_easy", {}};
    EXPECT_EQ(rule("x: halt_rule=none").rule, HaltRule::kNone) << objective;
    EXPECT_FALSE(rule("x: halt_use=log").acts()) << objective;
    ModelConfig none = with_settings(parse_evaluations("x: halt_rule=none", model).front(), model);
    EXPECT_NO_THROW(parse_evaluations("val; y: halt_rule=max", none)) << objective;
    EXPECT_THROW(validate(none), Error) << "to train it";
  }
}

TEST(Evaluations, AutoExitIsGivenByItsWholeName) {
  const auto list = [](const testing::Settings& typed) {
    return testing::resolved("looped_tiny", typed).config.training.evaluations;
  };
  EXPECT_THAT(
      list({{"evaluations", "val; no_auto_exit: max_loops=3"}, {"enable_auto_exit_eval", "True"}}),
      HasSubstr("; auto_exit: "));
  EXPECT_EQ(list({{"evaluations", "val; auto_exit : loop_halt_rule=kl"},
                  {"enable_auto_exit_eval", "False"}}),
            "val");
  EXPECT_THAT(list({{"enable_auto_exit_eval", "False"},
                    {"evaluations", "val; auto_exit: loop_halt_rule=kl"}}),
              HasSubstr("auto_exit"));
}

TEST(Evaluations, ThatHaltUseTheRunsThreshold) {
  const auto notices = [](const testing::Settings& more) {
    testing::Settings typed = {{"loop_halt_threshold", "0.5"}};
    typed.insert(typed.end(), more.begin(), more.end());
    return testing::resolved("looped_tiny", typed).notices;
  };
  using ::testing::Contains;
  EXPECT_THAT(notices({}), Contains(HasSubstr("loop_halt_threshold = 0.5 has no effect")));
  EXPECT_THAT(notices({{"enable_auto_exit_eval", "True"}}),
              ::testing::Not(Contains(HasSubstr("has no effect"))));
}

TEST(Evaluations, AreCheckedBeforeARun) {
  EXPECT_THAT(caught([] {
                testing::resolved("gpt2ish_shakespeare", {{"evaluations", "x: split=test"}});
              }).what(),
              HasSubstr("split"));
}

}  // namespace
}  // namespace fathom
