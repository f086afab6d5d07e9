// Training plans: settings and data that change on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/train/recipe/schedule.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Unit = Budget::Unit;

class StagesTest : public TrainTest {
 protected:
  StageRun stage(const std::string& name, const std::string& text, Budget budget) {
    RunConfig config = tiny_run();
    config.model.backbone.dropout = 0.1;
    config.training.checkpoint_interval = 4;
    return {name, config, budget, {corpus(letters(400, name == "first" ? 1 : 2), text)}};
  }
  // Seven steps on one text, then some on another with other settings.
  RunPlan two_stages(Budget second = {Unit::kSteps, 5}) {
    RunPlan plan;
    plan.stages = {stage("first", "tiny", {Unit::kSteps, 7}), stage("second", "other", second)};
    RunConfig& c = plan.stages[1].config;
    plan.stages[0].config.training.max_iters = 7;
    plan.stages[0].config.schedule.warmup_iters = 2;
    c.training.max_iters = 5;
    c.data.batch_size = 5;
    c.data.mini_batch_size = 2;
    c.optimizer.learning_rate = 3e-3;
    c.optimizer.beta2 = 0.9;
    c.optimizer.weight_decay = 0.5;
    c.training.eval_interval = 2;
    plan.written = std::make_shared<nlohmann::json>(nlohmann::json{{"plan", "of two"}});
    return plan;
  }
  Trainer trainer_of(const RunPlan& plan, const std::string& run) {
    std::filesystem::create_directories(temp_ / (run + "/checkpoints"));
    return {plan, 8, temp_ / run};
  }
  std::string bytes_of(const std::string& run, const std::string& name) {
    std::string all;
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      all += slurp(checkpoint(run, name) + "/" + file);
    return all;
  }
};

TEST_F(StagesTest, EachHasItsSettingsItsDataAndItsSchedule) {
  const RunPlan plan = two_stages();
  Trainer t = trainer_of(plan, "run");
  History history;
  TrainerEvents events = history.events();
  std::vector<std::string> begun;
  events.stage = [&](const StageRun& s) { begun.push_back(s.name); };
  EXPECT_EQ(t.run(events), RunEnd::kDone);
  EXPECT_THAT(begun, ElementsAre("second"));
  ASSERT_EQ(history.steps.size(), 12U);
  for (int64_t i = 0; i < 12; ++i) {
    const StepReport& s = history.steps[size_t(i)];
    const size_t k = i < 7 ? 0 : 1;
    EXPECT_EQ(s.step, i + 1);
    EXPECT_EQ(s.stage, plan.stages[k].name);
    EXPECT_EQ(s.tokens, (k == 0 ? 2 : 5) * 8);
    EXPECT_EQ(s.learning_rate, learning_rate_at(plan.stages[k].config, i - (k == 0 ? 0 : 7)));
  }
  // Every third step, at the first one's end on its own text, then every second of the other.
  EXPECT_THAT(history.evaluated_at(), ElementsAre(0, 3, 6, 7, 9, 11, 12));
  const RunState& s = t.state();
  EXPECT_EQ(s.progress.samples, 7 * 2 + 5 * 5);
  EXPECT_EQ(s.progress.tokens, (7 * 2 + 5 * 5) * 8);
  EXPECT_EQ(s.progress.seconds, 0) << "which would be other bytes in each run";
  EXPECT_EQ(s.stage_start_step, 7);
  EXPECT_EQ(s.stage_start.samples, 14);
  EXPECT_EQ(s.cursor, (Cursor{{"batch", 25}}));
  EXPECT_EQ(load_state(checkpoint("run", "stage-first")).step, 7);
  EXPECT_EQ(load_state(checkpoint("run", "stage-first")).stage, "first");
  const RunState last = load_state(checkpoint("run", "last"));
  EXPECT_EQ(last.stage, "second");
  EXPECT_EQ(*last.plan, *plan.written);
  EXPECT_EQ(last.stage_start.samples, 14);
}

// The same text in both stages is read on, as one stage of all steps would read it.
TEST_F(StagesTest, TheSameDataIsReadOn) {
  RunPlan plan = two_stages();
  plan.stages[1].corpora = plan.stages[0].corpora;
  Trainer t = trainer_of(plan, "run");
  t.run({});
  EXPECT_EQ(t.state().cursor, (Cursor{{"batch", 7 * 2 + 5 * 5}}));
}

// What came before is not compared with what is measured on another text.
TEST_F(StagesTest, TheBestIsOfTheStageWhoseTextItWasMeasuredOn) {
  History history;
  trainer_of(two_stages(), "run").run(history.events());
  EXPECT_TRUE(history.evaluations[4].best) << "the second stage's first one";
}

// Another optimiser begins with its stage, what is thawed as well, and a run goes on within it.
TEST_F(StagesTest, OneMayHaveAnotherOptimiserAndFreezeOtherParameters) {
  for (const char* optimizer : {"adamw", "sgd", "schedule_free_adamw"}) {
    SCOPED_TRACE(optimizer);
    RunPlan plan = two_stages();
    plan.stages[0].config.optimizer.freeze = "mlp.*";
    plan.stages[1].config.optimizer.optimizer = optimizer;
    plan.stages[1].config.optimizer.freeze = "attention.0.*";
    for (const char* run : {"whole", "parts"}) std::filesystem::remove_all(temp_ / run);
    Trainer whole = trainer_of(plan, "whole");
    EXPECT_EQ(whole.run({}), RunEnd::kDone);
    EXPECT_EQ(whole.optimizer().rule().name, std::string(optimizer));
    const bool goes_on = std::string(optimizer) == "adamw";
    EXPECT_EQ(whole.optimizer().steps(), goes_on ? 12 : 5);
    for (const Optimizer::State& s : whole.optimizer().state()) {
      EXPECT_EQ(s.frozen, s.name.rfind("attention.0.", 0) == 0) << s.name;
      if (!s.frozen) {
        EXPECT_EQ(s.begun, goes_on && s.name.rfind("mlp.", 0) == 0 ? 7 : 0) << s.name;
      }
    }
    for (const int64_t k : {7, 9}) {
      Trainer first = trainer_of(plan, "parts");
      TrainerEvents events;
      events.stop = [&] { return first.state().step == k; };
      EXPECT_EQ(first.run(events), RunEnd::kInterrupted);
      Trainer second = trainer_of(plan, "parts");
      second.resume(checkpoint("parts", "last"));
      EXPECT_EQ(second.state().step, k);
      EXPECT_EQ(second.run({}), RunEnd::kDone);
      EXPECT_TRUE(bytes_of("parts", "last") == bytes_of("whole", "last")) << k;
      std::filesystem::remove_all(temp_ / "parts");
    }
  }
}

TEST_F(StagesTest, TheFirstStageIsARunOfItsOwn) {
  const RunPlan plan = two_stages();
  trainer_of(plan, "both").run({});
  Trainer alone(plan.stages[0].config, plan.stages[0].corpora[0], 8, temp_ / "alone");
  alone.run({});
  EXPECT_TRUE(slurp(checkpoint("both", "stage-first") + "/model.safetensors") ==
              slurp(checkpoint("alone", "last") + "/model.safetensors"));
}

TEST_F(StagesTest, WhereverItWasInterruptedItIsTheSameRun) {
  for (const Budget second :
       {Budget{Unit::kSteps, 5}, {Unit::kTokens, 190}, {Unit::kEpochs, 0.6}}) {
    const RunPlan plan = two_stages(second);
    const std::string whole = "whole" + to_text(second);
    trainer_of(plan, whole).run({});
    // An evaluation takes ten, a step of the second stage three.
    for (int64_t polls : {13, 17, 31}) {
      const std::string run = "parts" + std::to_string(polls) + to_text(second);
      for (int stretches = 0;; ++stretches) {
        ASSERT_LT(stretches, 100);
        Trainer t = trainer_of(plan, run);
        if (const auto choice = newest_complete(temp_ / (run + "/checkpoints")))
          t.resume(choice->folder);
        TrainerEvents events;
        int64_t left = polls + stretches % 2;
        events.stop = [&] { return --left < 0; };
        if (t.run(events) == RunEnd::kDone) break;
      }
      for (const char* name : {"last", "best", "stage-first"})
        EXPECT_TRUE(bytes_of(whole, name) == bytes_of(run, name)) << run << " " << name;
    }
  }
}

TEST_F(StagesTest, ABudgetEndsWithTheFirstStepThatReachesIt) {
  const auto steps_with = [&](Budget second) {
    Trainer t = trainer_of(two_stages(second), "run" + to_text(second));
    t.run({});
    return t.state().step - 7;
  };
  EXPECT_EQ(steps_with({Unit::kSamples, 11}), 3) << "five a step";
  EXPECT_EQ(steps_with({Unit::kSamples, 10}), 2);
  EXPECT_EQ(steps_with({Unit::kTokens, 41}), 2) << "forty a step";
  // 360 letters of the train split have 44 windows of 8 targets.
  EXPECT_EQ(steps_with({Unit::kEpochs, 0.5}), 5);
  EXPECT_EQ(steps_with({Unit::kEpochs, 1}), 9);
  EXPECT_GT(steps_with({Unit::kMinutes, 1e-6}), 0);
}

TEST_F(StagesTest, MinutesAreKeptByACheckpoint) {
  Trainer t = trainer_of(two_stages({Unit::kMinutes, 1e-3}), "run");
  t.run({});
  EXPECT_GT(load_state(checkpoint("run", "last")).progress.seconds, 0);
  EXPECT_GE(t.state().progress.seconds - t.state().stage_start.seconds, 0.06);
}

TEST_F(StagesTest, ARunGoesOnOnlyInAStageThatThePlanHas) {
  trainer_of(two_stages(), "run").run({});
  RunPlan other = two_stages();
  other.stages[1].name = "third";
  Trainer t = trainer_of(other, "again");
  const Error error = caught([&] { t.resume(checkpoint("run", "last")); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("second"), HasSubstr("first, third")));
}

// A stage more than the run had: it ends the one where it stands, and goes on with the next.
TEST_F(StagesTest, APlanMayGrow) {
  trainer_of(two_stages(), "whole").run({});
  RunPlan first = two_stages();
  first.stages.pop_back();
  trainer_of(first, "run").run({});
  Trainer t = trainer_of(two_stages(), "run");
  t.resume(checkpoint("run", "last"));
  t.run({});
  EXPECT_TRUE(slurp(checkpoint("run", "last") + "/model.safetensors") ==
              slurp(checkpoint("whole", "last") + "/model.safetensors"));
}

TEST_F(StagesTest, AStageFreezesWhatItSays) {
  RunPlan plan = two_stages();
  plan.stages[0].config.optimizer.freeze = "mlp.1.*";
  plan.stages[1].config.optimizer.freeze = "mlp.0.*";
  Trainer t = trainer_of(plan, "run");
  const Snapshot start = weights(t.model());
  Snapshot between;
  TrainerEvents events;
  events.stage = [&](const StageRun&) { between = weights(t.model()); };
  t.run(events);
  const Snapshot end = weights(t.model());
  EXPECT_EQ(between.at("mlp.1.up.weight"), start.at("mlp.1.up.weight"));
  EXPECT_NE(between.at("mlp.0.up.weight"), start.at("mlp.0.up.weight"));
  EXPECT_NE(end.at("mlp.1.up.weight"), between.at("mlp.1.up.weight"));
  EXPECT_EQ(end.at("mlp.0.up.weight"), between.at("mlp.0.up.weight"));
}

// What a pass does with the plan is a stage's to say: more iterations as the run goes on.
TEST_F(StagesTest, OneMayRunLoopsMoreOftenThanTheOneBefore) {
  RunPlan plan = two_stages();
  for (StageRun& stage : plan.stages) {
    stage.config.model.looping.groups = {"auto", {}};
    stage.config.model.looping.sampling = LoopSampling::kFixed;
    stage.config.training.evaluations = "val";
  }
  plan.stages[0].config.model.looping.max_loops = 1;
  plan.stages[1].config.model.looping.max_loops = 3;
  Trainer t = trainer_of(plan, "run");
  History history;
  EXPECT_EQ(t.run(history.events()), RunEnd::kDone);
  ASSERT_EQ(history.steps.size(), 12U);
  const double first = history.steps[6].flops / static_cast<double>(history.steps[6].tokens);
  const double second = history.steps[7].flops / static_cast<double>(history.steps[7].tokens);
  EXPECT_GT(second, 1.5 * first) << "four blocks instead of two";
  // The second stage's own model answers as the trainer's last evaluation did.
  const double loss = history.evaluations.back().of("val").loss;
  Trainer again = trainer_of(plan, "again");
  again.resume(checkpoint("run", "last"));
  EXPECT_EQ(again.evaluate_now().of("val").loss, loss);
  RunPlan always = plan;
  always.stages[1].config.model.looping.max_loops = 1;
  Trainer shallow = trainer_of(always, "shallow");
  shallow.resume(checkpoint("run", "last"));
  EXPECT_NE(shallow.evaluate_now().of("val").loss, loss);
}

// A guard that finds something in a stage's first step has only checkpoints of the stage before.
TEST_F(StagesTest, WhatBreaksInAStagesFirstStepReturnsToTheEndOfTheOneBefore) {
  RunPlan plan = two_stages();
  for (StageRun& stage : plan.stages) stage.config.guards.nonfinite = Nonfinite::kRollback;
  for (const bool always : {false, true}) {
    std::filesystem::remove_all(temp_ / "run");
    Trainer t = trainer_of(plan, "run");
    History history;
    TrainerEvents events = history.events();
    int entered = 0;
    events.stage = [&](const StageRun&) {
      if (++entered > 1 && !always) return;
      const at::NoGradGuard no_grad;
      t.model().parameters().at("mlp.1.up.weight").fill_(std::nan(""));
    };
    std::vector<int64_t> back;
    events.rollback = [&](int64_t step) {
      back.push_back(step);
      EXPECT_EQ(t.state().stage, "first");
    };
    if (always) {
      EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("10 returns to step 7 did not help"));
      EXPECT_EQ(back.size(), 10U);
      EXPECT_EQ(load_state(checkpoint("run", "last")).step, 7);
      continue;
    }
    EXPECT_EQ(t.run(events), RunEnd::kDone);
    EXPECT_THAT(back, ElementsAre(7));
    EXPECT_EQ(entered, 2);
    std::vector<int64_t> steps;
    for (const StepReport& s : history.steps) steps.push_back(s.step);
    EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    EXPECT_EQ(t.state().rollbacks, 1);
    EXPECT_EQ(t.state().stage_start_step, 7);
    EXPECT_EQ(t.state().progress.samples, 7 * 2 + 5 * 5);
    EXPECT_THAT(t.state().cursor.numbers(), ElementsAre(::testing::Pair("batch", 5 * 5)))
        << "none had been drawn";
    EXPECT_EQ(load_state(checkpoint("run", "last")).stage, "second");
  }
}

TEST_F(StagesTest, WhatEndsARunInAStagesFirstStepLeavesOneThatGoesOn) {
  const RunPlan plan = two_stages();
  trainer_of(plan, "whole").run({});
  Trainer t = trainer_of(plan, "run");
  TrainerEvents events;
  events.stage = [&](const StageRun&) {
    const at::NoGradGuard no_grad;
    t.model().parameters().at("mlp.1.up.weight").fill_(std::nan(""));
  };
  EXPECT_THAT(error_of([&] { t.run(events); }),
              AllOf(HasSubstr("step 8: mlp.1.up.weight is not finite"),
                    HasSubstr("the newest checkpoint is of step 7")));
  Trainer again = trainer_of(plan, "run");
  again.resume(newest_complete(temp_ / "run/checkpoints")->folder);
  EXPECT_EQ(again.run({}), RunEnd::kDone);
  for (const char* name : {"last", "best", "stage-first"})
    EXPECT_TRUE(bytes_of("run", name) == bytes_of("whole", name)) << name;
}

// LMPlay's loss of a step.
TEST_F(StagesTest, ALossByMinibatchesDependsOnTheSplitAndIsToldApart) {
  const auto step_of = [&](LossNorm norm, int64_t mini) {
    RunConfig c = tiny_run(exit_config(0.3));
    c.model.supervision.layer_supervision.choice = "skip_easy";
    c.data.batch_size = 5;
    c.data.mini_batch_size = mini;
    c.training.loss_norm = norm;
    return first_step(trainer(c));
  };
  const auto largest = [](const StepResult& a, const StepResult& b) {
    double out = 0;
    for (size_t i = 0; i < a.gradient.size(); ++i)
      out = std::max(out, std::abs(a.gradient[i] - b.gradient[i]));
    return out;
  };
  const StepResult token = step_of(LossNorm::kToken, 5), split = step_of(LossNorm::kToken, 2);
  const StepResult whole = step_of(LossNorm::kMinibatch, 5),
                   by_two = step_of(LossNorm::kMinibatch, 2);
  EXPECT_LT(largest(token, split), 1e-6);
  EXPECT_LT(largest(token, whole), 1e-6) << "one pass is the whole step";
  EXPECT_GT(largest(whole, by_two), 1e-4);
  EXPECT_NEAR(whole.report.loss, by_two.report.loss, 1e-6) << "the loss is what it was";
  EXPECT_TRUE(by_two.report.objective.has_value());
}

}  // namespace
}  // namespace fathom::testing
