// `fathom train --training_plan`, and how a run with one goes on, before a tensor is made.
#include <nlohmann/json.hpp>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/train/request.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::refusal_of;
using testing::save_state;
using testing::saved_state;
using ::testing::StartsWith;
using testing::Words;

constexpr char kPlannedPreset[] = "gpt2ish_shakespeare_cpu";
constexpr char kPlan[] = R"({"a": {"dataset": "rain", "steps": 40,
                                   "overrides": {"learning_rate": 0.5, "warmup_iters": 3}},
                             "b": {"dataset": "rain", "epochs": 2}})";

class TrainPlan : public testing::CliTest {
 protected:
  std::string plan_file(const std::string& text, const std::string& name = "my_plan.json") const {
    place_.write(name, text);
    return place_.path(name);
  }
  static std::optional<TrainRequest> parse(const Words& more) {
    Words words = {kPlannedPreset};
    words.insert(words.end(), more.begin(), more.end());
    return parse_train(words);
  }
  TrainRequest begin(const Words& more = {}, const std::string& text = kPlan) const {
    Words words = {"--block_size=16", "--training_plan=" + plan_file(text)};
    words.insert(words.end(), more.begin(), more.end());
    return *parse(words);
  }
  // The run `old` of the plan, in its stage `stage` after `steps` of it.
  void interrupt(const TrainRequest& r, size_t stage, int64_t steps) const {
    RunState s = saved_state(kPlannedPreset, "rain", 100 + steps);
    s.config = r.stages[stage].config;
    s.stage = r.stages[stage].name;
    s.stage_start_step = 100;
    s.progress.samples = steps * s.config.sequences_per_step();
    s.plan = run_of(r).written;
    save_state("old", "last", s);
  }
  static std::optional<TrainRequest> resume(Words more = {}) {
    more.insert(more.begin(), {"--run_name=old", "--resume"});
    return parse(more);
  }
  static std::vector<std::string> shown(const TrainRequest& r) {
    std::vector<std::string> out;
    for (const StageRun& stage : r.stages) {
      RunConfig config = stage.config;
      FieldList list;
      add_fields(list, config);
      std::string line = stage.name + " " + to_text(stage.budget);
      for (const Field& field : list.all()) line += " " + as_override(field);
      out.push_back(line);
    }
    return out;
  }
};

TEST_F(TrainPlan, HasItsStages) {
  const TrainRequest r = begin();
  ASSERT_EQ(r.stages.size(), 2U);
  EXPECT_EQ(r.config.optimizer.learning_rate, 0.5) << "of the first stage";
  EXPECT_EQ(r.config.training.max_iters, 40);
  EXPECT_EQ(r.stages[1].config.optimizer.learning_rate, 0.001) << "the preset's";
  EXPECT_EQ(r.corpus.name(), "rain");
  EXPECT_EQ(r.vocab_size, 25);
  EXPECT_EQ(r.plan.name, "my_plan.json");
  EXPECT_THAT(r.options.run_name, StartsWith("gpt2ish_shakespeare_cpu-"));
  const RunPlan run = run_of(r);
  EXPECT_EQ(run.stages.size(), 2U);
  EXPECT_EQ(json(run.written->get<TrainingPlan>()), *run.written);
}

TEST_F(TrainPlan, WithoutOneARunIsOneStage) {
  const TrainRequest r = *parse({"--dataset=rain", "--block_size=16", "--max_iters=70"});
  ASSERT_EQ(r.stages.size(), 1U);
  EXPECT_EQ(r.stages[0].name, "");
  EXPECT_EQ(r.stages[0].budget, (Budget{Budget::Unit::kSteps, 70}));
  EXPECT_THAT(r.plan.stages, IsEmpty());
  EXPECT_EQ(run_of(r).written, nullptr);
}

TEST_F(TrainPlan, WhatTheStagesDecideIsGivenInVain) {
  EXPECT_THAT(begin({"--dataset=sea", "--max_iters=9", "--learning_rate=0.2"}).notices,
              AllOf(Contains(StartsWith("dataset has no effect")),
                    Contains(StartsWith("max_iters has no effect")),
                    Not(Contains(StartsWith("learning_rate has no effect")))));
  EXPECT_EQ(begin({"--learning_rate=0.2"}).stages[1].config.optimizer.learning_rate, 0.2);
}

TEST_F(TrainPlan, DescribeShowsIt) {
  const testing::Outcome o = run({"train", kPlannedPreset, "--describe",
                                  "--training-plan=" + plan_file(R"({"a": {"dataset": "sea"}})")});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("training plan"), HasSubstr("a: sea for 1 epoch")));
}

TEST_F(TrainPlan, VocabulariesOfFoldersThatDoNotSayTheirsAreTheRuns) {
  std::filesystem::create_directories(place_.path("plain"));
  for (const char* split : {"train", "val"})
    std::filesystem::copy(place_.path(std::string("data/rain/") + split + ".bin"),
                          place_.path(std::string("plain/") + split + ".bin"));
  const TrainRequest r = begin({}, R"({"a": {"dataset": ")" + place_.path("plain").string() +
                                       R"(", "steps": 5}, "b": {"dataset": "rain", "steps": 5}})");
  EXPECT_EQ(r.vocab_size, 25);
  EXPECT_EQ(r.stages[0].corpora[0].vocab_size(), 25);
  EXPECT_EQ(r.corpus.vocab_size(), 25);
}

TEST_F(TrainPlan, GoesOnInEveryStageAsItWouldHave) {
  const TrainRequest first = begin();
  for (size_t stage = 0; stage < 2; ++stage) {
    SCOPED_TRACE(stage);
    interrupt(first, stage, 5);
    for (const Words& words :
         {Words{}, {"--training_plan=" + plan_file(kPlan), "--block_size=16"}}) {
      const TrainRequest r = *resume(words);
      EXPECT_EQ(shown(r), shown(first));
      EXPECT_EQ(json(r.plan), json(first.plan));
      EXPECT_EQ(r.config.optimizer.learning_rate, stage == 0 ? 0.5 : 0.001);
      EXPECT_THAT(r.resume->lines, ElementsAre("in the stage " + first.stages[stage].name +
                                               " of the training plan my_plan.json, " +
                                               std::to_string(stage + 1) + " of 2"));
    }
  }
}

TEST_F(TrainPlan, ItsOwnPlanWinsUnlessOverridden) {
  interrupt(begin(), 0, 5);
  const std::string other = plan_file(
      R"({"a": {"dataset": "rain", "steps": 80, "overrides": {"learning_rate": 0.25}},
          "c": {"dataset": "rain", "steps": 5}})",
      "other.json");
  const TrainRequest kept = *resume({"--training_plan=" + other});
  EXPECT_EQ(kept.plan.name, "my_plan.json");
  EXPECT_THAT(kept.resume->lines,
              Contains("the run's own training plan my_plan.json stays: --override_plan takes "
                       "other.json in its place"));
  const TrainRequest taken = *resume({"--training_plan=" + other, "--override_plan"});
  EXPECT_EQ(taken.plan.name, "other.json");
  EXPECT_EQ(taken.stages[1].name, "c");
  EXPECT_EQ(taken.config.training.max_iters, 80);
  EXPECT_THAT(taken.resume->lines,
              AllOf(Contains("learning_rate = 0.25 (was 0.5)"), Contains("max_iters = 80 (was 40)"),
                    Contains(HasSubstr("the learning rate of the next step is"))));
}

// LMPlay trains nothing then, and says nothing.
TEST_F(TrainPlan, AStageThatIsNotInThePlanIsRefused) {
  interrupt(begin(), 1, 5);
  const std::string other = plan_file(R"({"a": {"dataset": "rain"}})", "other.json");
  const Error e = refusal_of([&] { resume({"--training_plan=" + other, "--override_plan"}); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("the run stands in the stage \"b\", and the training plan "
                                  "other.json has only a"));
  EXPECT_THAT(e.hint(), HasSubstr("--initial_model=RUN"));
  RunState s = load_state(place_.path("runs/old/checkpoints/last"));
  s.stage = "z";
  save_state("old", "last", s);
  EXPECT_THAT(refusal_of([] { resume(); }).what(), HasSubstr("the stage \"z\""));
}

TEST_F(TrainPlan, ARunWithoutAPlanTakesNone) {
  save_state("old", "last", saved_state(kPlannedPreset, "rain", 30));
  EXPECT_THAT(refusal_of([&] { resume({"--training_plan=" + plan_file(kPlan)}); }).what(),
              HasSubstr("has no training plan"));
  EXPECT_THAT(refusal_of([] { resume({"--override_plan"}); }).what(), HasSubstr("none is given"));
  EXPECT_THAT(refusal_of([&] { begin({"--override_plan"}); }).what(),
              HasSubstr("override_plan has a meaning only with resume"));
}

TEST_F(TrainPlan, KeysThatEveryStageHasAreNotChangedByTyping) {
  interrupt(begin(), 1, 5);
  const TrainRequest r = *resume({"--learning_rate=0.125", "--weight_decay=0.3"});
  EXPECT_EQ(r.config.optimizer.learning_rate, 0.001);
  EXPECT_EQ(r.stages[0].config.optimizer.weight_decay, 0.3) << "no stage has its own";
  EXPECT_EQ(r.stages[1].config.optimizer.weight_decay, 0.3);
  EXPECT_THAT(r.notices, Contains(StartsWith("learning_rate has no effect")));
  EXPECT_THAT(r.resume->lines, Contains(StartsWith("weight_decay = 0.3")));
}

TEST_F(TrainPlan, ArchitectureStaysHere) {
  interrupt(begin(), 0, 5);
  const TrainRequest r = *resume({"--n_layer=9", "--block_size=8"});
  for (const StageRun& stage : r.stages) {
    EXPECT_EQ(stage.config.model.backbone.n_layer, 4);
    EXPECT_EQ(stage.config.model.backbone.block_size, 16);
  }
  EXPECT_THAT(r.resume->lines, Contains("n_layer = 4 stays: 9 is for a new run"));
}

TEST_F(TrainPlan, IsCompleteWithItsLastStage) {
  const TrainRequest first = begin();
  const auto save = [&](size_t stage, int64_t steps, bool evaluated) {
    interrupt(first, stage, steps);
    RunState s = load_state(place_.path("runs/old/checkpoints/last"));
    if (evaluated) s.evaluated_step = s.step;
    save_state("old", "last", s);
  };
  save(0, 40, true);
  EXPECT_TRUE(resume()) << "the second stage is to come";
  save(1, 5, true);
  EXPECT_TRUE(resume());
  save(1, 5000, false);
  EXPECT_TRUE(resume()) << "its last evaluation was not made yet";
  save(1, 5000, true);
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(resume());
  EXPECT_THAT(::testing::internal::GetCapturedStdout(),
              HasSubstr("the last stage of my_plan.json is done"));
}

TEST_F(TrainPlan, OtherDataOfThePresentStageIsRefusedUnlessAccepted) {
  interrupt(begin(), 1, 5);
  RunState s = load_state(place_.path("runs/old/checkpoints/last"));
  s.corpus_fingerprint = "0123456789abcdef";
  save_state("old", "last", s);
  EXPECT_THAT(refusal_of([] { resume(); }).what(), HasSubstr("rain is not the one"));
  EXPECT_TRUE(resume({"--accept_new_data"})->resume->new_data);
}

TEST_F(TrainPlan, AHostilePlanInACheckpointIsRefused) {
  const TrainRequest first = begin();
  interrupt(first, 0, 5);
  RunState s = load_state(place_.path("runs/old/checkpoints/last"));
  for (const char* plan :
       {"5", "[]", "{}", R"({"steps": []})", R"({"steps": [{"steps": -1}]})",
        R"({"steps": [{"step_name": "a", "overrides": [["n_layer", "9"]]}]})",
        R"({"steps": [{"step_name": "a", "overrides": [["learning_rate"]]}]})"}) {
    s.plan = std::make_shared<const json>(json::parse(plan));
    save_state("old", "last", s);
    EXPECT_THAT(refusal_of([] { resume(); }).what(), HasSubstr("the training plan")) << plan;
  }
}

}  // namespace
}  // namespace fathom
