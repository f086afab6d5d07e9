// Interruption: wherever it comes, the run that goes on is the one that was never interrupted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "fathom/io/checkpoint_folder.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> checkpoints_of(const std::string& run) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints"))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

class ResumeTest : public TrainTest {
 protected:
  // Dropout, accumulation in uneven parts, a schedule, and guards that skip.
  RunConfig eventful() {
    RunConfig config = tiny_run(exit_config(0.3));
    config.model.backbone.dropout = 0.1;
    config.data.batch_size = 5;
    config.data.mini_batch_size = 2;
    config.schedule.warmup_iters = 5;
    config.training.max_iters = 24;
    config.training.eval_interval = 5;
    config.training.checkpoint_interval = 7;
    config.training.keep_checkpoints = 2;
    config.guards.spike_sigma = 1;
    config.guards.spike_window = 4;
    return config;
  }
  // Every file of every checkpoint.
  std::map<std::string, std::string> bytes_of(const std::string& run) {
    std::map<std::string, std::string> bytes;
    for (const std::string& name : checkpoints_of(temp_ / run))
      for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
        bytes[name + "/" + file] = slurp(checkpoint(run, name) + "/" + file);
    return bytes;
  }
  void expect_same_run(const std::string& a, const std::string& b) {
    const auto x = bytes_of(a), y = bytes_of(b);
    ASSERT_EQ(x.size(), y.size());
    for (const auto& [file, bytes] : x) EXPECT_TRUE(bytes == y.at(file)) << file;
  }
  // One stretch of a run: from its newest checkpoint on, until `stop` has been asked `polls` times.
  RunEnd stretch(const RunConfig& config, const std::string& run, int64_t polls,
                 History* history = nullptr) {
    Trainer t = trainer(config, temp_ / run);
    if (const auto choice = newest_complete(temp_ / (run + "/checkpoints")))
      t.resume(choice->folder);
    History own;
    TrainerEvents events = (history != nullptr ? *history : own).events();
    events.stop = [&] { return --polls < 0; };
    return t.run(events);
  }
};

TEST_F(ResumeTest, WhereverItWasInterruptedItIsTheSameRun) {
  const RunConfig config = eventful();
  History whole;
  EXPECT_EQ(stretch(config, "whole", 1'000'000, &whole), RunEnd::kDone);
  const RunState end = load_state(checkpoint("whole", "last"));
  EXPECT_EQ(end.step, 24);
  EXPECT_GT(end.skipped_steps, 0) << "the window would not be missed";
  EXPECT_LT(end.skipped_steps, 12);
  EXPECT_THAT(checkpoints_of(temp_ / "whole"),
              ElementsAre("best", "last", "step-000000014", "step-000000021"));

  // Three polls a step and ten an evaluation: some stretches end within an accumulation, some
  // within an evaluation, and the shortest ones make a step or none.
  for (const int64_t polls : {13, 17, 24, 40}) {
    SCOPED_TRACE(polls);
    const std::string run = "run" + std::to_string(polls);
    History parts;
    int stretches = 1;
    while (stretch(config, run, polls + stretches % 2, &parts) == RunEnd::kInterrupted)
      ASSERT_LT(++stretches, 100);
    EXPECT_GT(stretches, 1);
    expect_same_run("whole", run);
    ASSERT_EQ(parts.steps.size(), whole.steps.size());
    for (size_t i = 0; i < whole.steps.size(); ++i) {
      EXPECT_EQ(parts.steps[i].step, whole.steps[i].step);
      EXPECT_EQ(parts.steps[i].loss, whole.steps[i].loss);
      EXPECT_EQ(parts.steps[i].gradient_norm, whole.steps[i].gradient_norm);
      EXPECT_EQ(parts.steps[i].learning_rate, whole.steps[i].learning_rate);
      EXPECT_EQ(parts.steps[i].metrics, whole.steps[i].metrics);
    }
    for (const EvalReport& e : parts.evaluations) {
      const auto same = std::find_if(whole.evaluations.begin(), whole.evaluations.end(),
                                     [&](const EvalReport& w) { return w.step == e.step; });
      ASSERT_NE(same, whole.evaluations.end());
      EXPECT_EQ(e.of("val").loss, same->of("val").loss);
      EXPECT_EQ(e.best_value, same->best_value);
    }
  }
}

// Counts of loops are drawn anew in every step, and so is the noise that they begin with.
TEST_F(ResumeTest, DrawnLoopsAreThoseOfTheUndividedRun) {
  RunConfig config = tiny_run();
  config.model.looping.groups = {"auto", {}};
  config.model.looping.max_loops = 4;
  config.model.looping.unit = SamplingUnit::kSequence;
  config.model.looping.noise_scale = 1;
  config.data.batch_size = 3;
  config.data.mini_batch_size = 2;
  config.training.max_iters = 9;
  History whole, parts;
  EXPECT_EQ(stretch(config, "whole", 1'000'000, &whole), RunEnd::kDone);
  std::set<double> counts;
  for (const StepReport& step : whole.steps) counts.insert(step.metrics.at("loops/layer_0"));
  EXPECT_GT(counts.size(), 2U);
  int stretches = 1;
  while (stretch(config, "parts", 17, &parts) == RunEnd::kInterrupted) ASSERT_LT(++stretches, 100);
  EXPECT_GT(stretches, 1);
  expect_same_run("whole", "parts");
  ASSERT_EQ(parts.steps.size(), whole.steps.size());
  for (size_t i = 0; i < whole.steps.size(); ++i)
    EXPECT_EQ(parts.steps[i].metrics, whole.steps[i].metrics);
}

TEST_F(ResumeTest, AStopBeforeTheFirstStepIsSavedToo) {
  EXPECT_EQ(stretch(eventful(), "run", 0), RunEnd::kInterrupted);
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 0);
}

TEST_F(ResumeTest, EveryKeptCheckpointIsAPlaceToGoOnFrom) {
  RunConfig config = eventful();
  config.training.keep_checkpoints.reset();
  run(config, "whole");
  EXPECT_THAT(checkpoints_of(temp_ / "whole"),
              ElementsAre("best", "last", "step-000000007", "step-000000014", "step-000000021"));
  for (const char* name : {"step-000000007", "step-000000014"}) {
    const std::string again = std::string("from-") + name;
    Trainer t = trainer(config, temp_ / again);
    t.resume(checkpoint("whole", name));
    EXPECT_GT(t.state().step, 0);
    t.run({});
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      EXPECT_TRUE(slurp(checkpoint(again, "last") + "/" + file) ==
                  slurp(checkpoint("whole", "last") + "/" + file))
          << name << " " << file;
  }
}

TEST_F(ResumeTest, KeepsAsManyCheckpointsAsAsked) {
  RunConfig config = tiny_run();
  config.training.checkpoint_interval = 2;
  const auto kept = [&](std::optional<int64_t> keep) {
    std::filesystem::remove_all(temp_ / "run");
    config.training.keep_checkpoints = keep;
    run(config, "run");
    auto names = checkpoints_of(temp_ / "run");
    names.erase(std::remove_if(names.begin(), names.end(),
                               [](const std::string& n) { return n == "best" || n == "last"; }),
                names.end());
    return names;
  };
  EXPECT_THAT(kept({}), ElementsAre("step-000000002", "step-000000004", "step-000000006"));
  EXPECT_THAT(kept(2), ElementsAre("step-000000004", "step-000000006"));
  EXPECT_THAT(kept(0), IsEmpty());
  config.training.checkpoint_interval.reset();
  EXPECT_THAT(kept({}), IsEmpty());
}

TEST_F(ResumeTest, BehaviourMayChangeOnTheWay) {
  RunConfig config = eventful();
  config.training.max_iters = 10;
  run(config, "run");
  config.training.max_iters = 12;
  config.optimizer.learning_rate = 0.003;
  History history;
  EXPECT_EQ(stretch(config, "run", 1'000'000, &history), RunEnd::kDone);
  const RunState state = load_state(checkpoint("run", "last"));
  EXPECT_EQ(state.step, 12);
  EXPECT_EQ(state.config.optimizer.learning_rate, 0.003);
  EXPECT_EQ(history.evaluated_at(), (std::vector<int64_t>{10, 12}));
}

TEST_F(ResumeTest, NewDataIsReadFromItsStart) {
  RunConfig config = eventful();
  run(config, "run");
  const std::string old_fingerprint = corpus_->fingerprint();
  corpus_ = corpus(letters(500, 2), "other");
  Trainer t = trainer(config, temp_ / "run");
  t.resume(checkpoint("run", "last"), {/*new_data=*/true, /*reset_history=*/false});
  EXPECT_EQ(t.state().step, 24);
  EXPECT_EQ(t.state().cursor, Cursor{});
  EXPECT_EQ(t.state().corpus_fingerprint, corpus_->fingerprint());
  EXPECT_NE(t.state().corpus_fingerprint, old_fingerprint);
  EXPECT_TRUE(std::isinf(t.state().best_value));
  EXPECT_EQ(t.state().losses.count(), 0);
}

TEST_F(ResumeTest, WithoutItsHistoryARunKeepsWeightsAndMoments) {
  RunConfig config = eventful();
  run(config, "run");
  const LoadedModel before = load_model(checkpoint("run", "last"), at::kCPU);
  Trainer t = trainer(config, temp_ / "run");
  t.resume(checkpoint("run", "last"), {/*new_data=*/false, /*reset_history=*/true});
  EXPECT_EQ(weights(t.model()), weights(*before.model));
  EXPECT_EQ(t.optimizer().steps(), before.state.optimizer_steps);
  EXPECT_EQ(t.state().optimizer_steps, before.state.optimizer_steps);
  EXPECT_GT(t.optimizer().state()[0].at("v").sum().item<double>(), 0);
  EXPECT_EQ(t.state().step, 0);
  EXPECT_EQ(t.state().cursor, Cursor{});
  EXPECT_TRUE(std::isinf(t.state().best_value));
  EXPECT_EQ(t.state().losses.count(), 0);
}

TEST_F(ResumeTest, TheMomentsMayBeginAnew) {
  RunConfig config = eventful();
  run(config, "run");
  Trainer t = trainer(config, temp_ / "run");
  ResumeOptions options;
  options.new_optimizer = true;
  t.resume(checkpoint("run", "last"), options);
  EXPECT_EQ(weights(t.model()), weights(*load_model(checkpoint("run", "last"), at::kCPU).model));
  EXPECT_EQ(t.state().step, 24);
  EXPECT_EQ(t.optimizer().steps(), 0);
  EXPECT_EQ(t.state().optimizer_steps, 0);
  for (const Optimizer::State& s : t.optimizer().state())
    EXPECT_EQ(s.at("m").abs().sum().item<double>() + s.at("v").sum().item<double>(), 0) << s.name;
}

// What is frozen keeps no moments, and takes none from a checkpoint that has them.
TEST_F(ResumeTest, ParametersMayBeFrozenAndThawedOnTheWay) {
  RunConfig config = eventful();
  run(config, "run");
  config.optimizer.freeze = "mlp.*";
  config.guards.spike_sigma = 0;
  Trainer t = trainer(config, temp_ / "run");
  t.resume(checkpoint("run", "last"));
  const Tensor before = t.model().parameters().at("mlp.0.up.weight").clone();
  const Tensor other = t.model().parameters().at("attention.0.qkv.weight").clone();
  t.train_step();
  EXPECT_TRUE(at::equal(before, t.model().parameters().at("mlp.0.up.weight")));
  EXPECT_FALSE(at::equal(other, t.model().parameters().at("attention.0.qkv.weight")));
  for (const Optimizer::State& s : t.optimizer().state()) {
    EXPECT_EQ(s.frozen, s.name.rfind("mlp.", 0) == 0) << s.name;
    EXPECT_EQ(s.at("v").sum().item<double>() == 0, s.frozen) << s.name;
    EXPECT_TRUE(!s.frozen || s.at("m").storage().nbytes() == sizeof(float)) << s.name;
  }
  // Thawed, its moments count from there on, and a resume remembers from where.
  config.training.max_iters = 30;
  EXPECT_EQ(run(config, "frozen").steps.size(), 30U);
  config.optimizer.freeze = "";
  for (const int64_t steps : {33, 36}) {
    config.training.max_iters = steps;
    Trainer thawed = trainer(config, temp_ / "frozen");
    thawed.resume(checkpoint("frozen", "last"));
    thawed.run({});
    for (const Optimizer::State& s : thawed.optimizer().state())
      EXPECT_EQ(s.begun, s.name.rfind("mlp.", 0) == 0 ? 30 : 0) << s.name;
  }
}

TEST_F(ResumeTest, EvalOnlyLeavesTheCheckpointsAlone) {
  RunConfig config = eventful();
  run(config, "run");
  const auto before = bytes_of("run");
  config.training.eval_only = true;
  config.training.eval_iters = 5;
  History history;
  EXPECT_EQ(stretch(config, "run", 1'000'000, &history), RunEnd::kDone);
  EXPECT_EQ(history.evaluated_at(), (std::vector<int64_t>{24}));
  EXPECT_TRUE(bytes_of("run") == before);
}

// `last` was saved before the evaluation that made `best`: where that evaluation is not made again,
// its value still counts.
TEST_F(ResumeTest, ALongerRunDoesNotForgetItsBest) {
  RunConfig config = eventful();
  config.training.max_iters = 12;  // the last evaluation is not at an interval
  config.training.eval_interval = 5;
  History first;
  stretch(config, "run", 1'000'000, &first);
  const double best = load_state(checkpoint("run", "best")).best_value;
  config.training.max_iters = 24;
  config.training.eval_interval = 11;
  Trainer t = trainer(config, temp_ / "run");
  t.resume(checkpoint("run", "last"));
  EXPECT_EQ(t.state().best_value, best);
  // By another measure it does not compare.
  config.training.eval_iters = 7;
  Trainer other = trainer(config, temp_ / "run");
  other.resume(checkpoint("run", "last"));
  EXPECT_TRUE(std::isinf(other.state().best_value));
}

// What "val/loss" was in runs of before is `objective` now, and for a model that optimises its
// answers' loss alone the same number as `loss`: only then it is still to be beaten.
// What was kept as the best stays until something is better by the same number.
TEST_F(ResumeTest, ABestValueOfBeforeCounts) {
  ModelConfig listed = tied_config();
  listed.supervision.layer_supervision = {"", {0, 1}};
  for (const auto& [name, model, now, then] :
       {std::tuple{"plain", tied_config(), "eval/val/loss", "eval/val/loss"},
        {"layered", exit_config(0.3), "eval/val/objective", "eval/val/objective"},
        {"listed", listed, "eval/val/objective", "eval/val/loss"}}) {
    SCOPED_TRACE(name);
    const RunConfig config = tiny_run(model);
    run(config, name);
    auto old = nlohmann::json::parse(slurp(checkpoint(name, "last") + "/state.json"));
    old["best_metric"] = "val/loss";
    old["best_value"] = 0.125;
    {
      CheckpointWriter writer(checkpoint(name, "step-000000006"));
      for (const char* file : {"model.safetensors", "optimizer.safetensors"})
        std::filesystem::copy(checkpoint(name, "last") + "/" + file, writer.path() + "/" + file);
      spill(writer.path() + "/state.json", old.dump());
      writer.commit();
    }
    std::filesystem::remove_all(checkpoint(name, "best"));
    Trainer t = trainer(config, temp_ / name);
    t.resume(checkpoint(name, "step-000000006"));
    EXPECT_EQ(t.state().step, 6);
    EXPECT_EQ(t.state().best_metric, now);
    EXPECT_EQ(t.state().best_value, 0.125);
    const EvalReport report = t.evaluate_now();
    EXPECT_FALSE(report.best);
    EXPECT_EQ(report.best_metric, then);
    EXPECT_EQ(t.state().best_metric, then);
  }
}

TEST_F(ResumeTest, AnotherWindowActsAtOnce) {
  RunConfig config = eventful();
  config.guards.spike_window = 12;
  run(config, "run");
  for (const int64_t size : {4, 300}) {
    config.guards.spike_window = size;
    Trainer t = trainer(config, temp_ / "run");
    t.resume(checkpoint("run", "last"));
    EXPECT_EQ(t.state().losses.count(), std::min<int64_t>(size, 12));
    const nlohmann::json before = t.state().losses;
    OutlierWindow expected(size);
    from_json(before, expected);
    expected.add(1);
    EXPECT_EQ(expected.count(), std::min<int64_t>(size, 13));
  }
}

// Nothing is lost when the run store or the console fails.
TEST_F(ResumeTest, AnObserverThatFailsEndsTheRunAfterItWasSaved) {
  for (const bool in_step : {true, false}) {
    std::filesystem::remove_all(temp_ / "run");
    TrainerEvents events;
    const auto fail_at = [](int64_t step) {
      if (step == 3) fail("the disk is full");
    };
    if (in_step)
      events.step = [&](const StepReport& r) { fail_at(r.step); };
    else
      events.evaluation = [&](const EvalReport& r) { fail_at(r.step); };
    Trainer t = trainer(tiny_run(), temp_ / "run");
    EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("the disk is full"));
    EXPECT_EQ(load_state(checkpoint("run", "last")).step, 3);
    run(tiny_run(), "whole");
    stretch(tiny_run(), "run", 1'000'000);
    expect_same_run("whole", "run");
  }
}

TEST_F(ResumeTest, AnEvaluationThatFailsLosesNothing) {
  TrainerEvents events;
  int64_t polls = 0;
  events.stop = [&]() -> bool {
    if (++polls > 16) fail("out of memory");  // within the last evaluation
    return false;
  };
  Trainer t = trainer(tiny_run(), temp_ / "run");
  EXPECT_THAT(error_of([&] { t.run(events); }), HasSubstr("out of memory"));
  EXPECT_NO_THROW(verify_checkpoint(checkpoint("run", "last")));
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 6);
}

TEST_F(ResumeTest, ADamagedCheckpointIsRefused) {
  run(tiny_run(), "run");
  std::string bytes = slurp(checkpoint("run", "last") + "/optimizer.safetensors");
  bytes[bytes.size() - 5] ^= 1;
  spill(checkpoint("run", "last") + "/optimizer.safetensors", bytes);
  Trainer t = trainer(tiny_run(), temp_ / "run");
  EXPECT_THAT(error_of([&] { t.resume(checkpoint("run", "last")); }),
              HasSubstr("the checksum of optimizer.safetensors is not the recorded one"));
}

}  // namespace
}  // namespace fathom::testing
