// A run that is to go on with other settings is the old one until the first step under them is
// made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "fathom/io/checkpoint_folder.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

class NewSettingsTest : public TrainTest {
 protected:
  // 12 steps, `last` at 12, `best` somewhere, one numbered checkpoint at 10.
  RunConfig first_run() {
    RunConfig config = tiny_run();
    config.training.max_iters = 12;
    config.training.checkpoint_interval = 10;
    return config;
  }
  // Every file below the run's checkpoints, hidden ones too.
  std::map<std::string, std::string> files(const std::string& run = "run") {
    std::map<std::string, std::string> found;
    const std::string root = temp_ / run;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      if (entry.is_regular_file())
        found[entry.path().string().substr(root.size() + 1)] = slurp(entry.path());
    return found;
  }
  std::unique_ptr<Trainer> resumed(const RunConfig& config, ResumeOptions options = {},
                                   const std::string& from = "last") {
    std::unique_ptr<Trainer> t(new Trainer(trainer(config, temp_ / "run")));
    t->resume(checkpoint("run", from), options);
    return t;
  }
  // A run of 12 steps, then settings under which evaluation and saving are due at once.
  RunConfig longer() {
    RunConfig config = first_run();
    config.training.max_iters = 20;
    config.training.eval_interval = 2;
    config.optimizer.learning_rate = 0.003;
    return config;
  }
};

TEST_F(NewSettingsTest, AResumeThatFailsBeforeItsFirstStepChangesNothing) {
  run(first_run(), "run");
  const auto before = files();
  const auto fails = [&](std::unique_ptr<Trainer> t, const std::string& how, int64_t polls) {
    int begun = 0;
    TrainerEvents events;
    events.begin = [&] { ++begun; };
    events.stop = [&]() -> bool {
      if (--polls < 0) fail("no memory for such a batch");
      return false;
    };
    EXPECT_THAT(error_of([&] { t->run(events); }), HasSubstr("no memory")) << how;
    EXPECT_EQ(begun, 0) << how;
    EXPECT_FALSE(t->has_begun());
  };
  // In the evaluation that comes first, and in the step after it.
  for (const int64_t polls : {1, 4}) {
    fails(resumed(longer()), "other settings", polls);
    EXPECT_TRUE(files() == before);
    fails(resumed(longer(), {/*new_data=*/true}), "other data", polls);
    EXPECT_TRUE(files() == before);
    fails(resumed(longer(), {false, /*reset_history=*/true}), "without history", polls);
    EXPECT_TRUE(files() == before);
    fails(resumed(longer(), {}, "step-000000010"), "from an earlier one", polls);
    EXPECT_TRUE(files() == before);
    RunConfig accumulated = longer();
    accumulated.data.gradient_accumulation_steps = 4;
    fails(resumed(accumulated), "a batch in parts", polls + 1);
    EXPECT_TRUE(files() == before);
  }
}

TEST_F(NewSettingsTest, AnInterruptionBeforeTheFirstStepChangesNothing) {
  run(first_run(), "run");
  const auto before = files();
  for (const int64_t polls : {0, 2, 4}) {
    std::unique_ptr<Trainer> t = resumed(longer());
    int64_t left = polls;
    TrainerEvents events;
    events.stop = [&] { return --left < 0; };
    EXPECT_EQ(t->run(events), RunEnd::kInterrupted);
    EXPECT_FALSE(t->has_begun());
    EXPECT_EQ(t->saved_step(), 12);
    t.reset();  // what waited goes with it
    EXPECT_TRUE(files() == before) << polls;
  }
}

TEST_F(NewSettingsTest, WithTheFirstStepTheySettleInTheCheckpoints) {
  run(first_run(), "run");
  const auto before = files();
  const std::unique_ptr<Trainer> t = resumed(longer());
  std::vector<std::string> order;
  int64_t steps = 0;
  TrainerEvents events;
  events.begin = [&] {
    order.emplace_back("begin");
    EXPECT_THAT(files(), Contains(Pair("checkpoints/last/state.json",
                                       before.at("checkpoints/last/state.json"))));
  };
  events.step = [&](const StepReport&) {
    order.emplace_back("step");
    const RunState last = load_state(checkpoint("run", "last"));
    EXPECT_EQ(last.config.optimizer.learning_rate, 0.003);
    EXPECT_EQ(last.step, 12) << "the state that the step was made from";
    ++steps;
  };
  events.stop = [&] { return steps > 0; };
  EXPECT_EQ(t->run(events), RunEnd::kInterrupted);
  EXPECT_THAT(order, ElementsAre("begin", "step"));
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 13);
  for (const auto& [name, bytes] : files())
    EXPECT_EQ(name.find("staging"), name.npos) << "nothing waits any more";
}

// The evaluation before the first step may have found the best model: it is saved, once it may be.
TEST_F(NewSettingsTest, WhatTheEvaluationBeforeTheFirstStepFoundIsKept) {
  RunConfig config = tiny_run();
  config.schedule.decay_lr = false;  // or it would end with the run
  config.training.max_iters = 6;
  RunConfig more = config;
  more.training.max_iters = 12;
  run(more, "whole");
  run(config, "run");
  resumed(more)->run({});
  const auto whole = files("whole"), parts = files();
  ASSERT_EQ(whole.size(), parts.size());
  for (const char* name : {"best", "last"})
    for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
      const std::string path = std::string("checkpoints/") + name + "/" + file;
      EXPECT_TRUE(parts.at(path) == whole.at(path)) << path;
    }
}

TEST_F(NewSettingsTest, TheSameSettingsBeginAtOnce) {
  RunConfig config = first_run();
  run(config, "run");
  config.training.max_iters = 12;
  const std::unique_ptr<Trainer> t = resumed(config, {}, "step-000000010");
  int64_t begun_at = -1;
  TrainerEvents events;
  events.begin = [&] { begun_at = t->state().step; };
  t->run(events);
  EXPECT_EQ(begun_at, 10);
}

TEST_F(NewSettingsTest, WhereOnlyAnEvaluationIsLeftItIsMadeFirst) {
  run(first_run(), "run");
  RunConfig config = first_run();
  config.training.eval_iters = 5;
  const auto before = files();
  const std::unique_ptr<Trainer> t = resumed(config);
  TrainerEvents events;
  events.evaluation = [&](const EvalReport& r) { EXPECT_TRUE(r.best); };
  int begun = 0;
  events.begin = [&] {
    ++begun;
    EXPECT_EQ(t->state().evaluated_step, 12) << "the evaluation was made";
    auto now = files();
    for (const auto& [name, bytes] : before) EXPECT_TRUE(now[name] == bytes) << name;
  };
  EXPECT_EQ(t->run(events), RunEnd::kDone);
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(load_state(checkpoint("run", "last")).config.training.eval_iters, 5);
}

// A rollback in the first step goes back to where the run was to go on, not to a later state that
// is about to be set aside.
TEST_F(NewSettingsTest, ARollbackBeforeTheFirstStepStaysBehindIt) {
  run(first_run(), "run");
  RunConfig config = longer();
  config.guards.nonfinite = Nonfinite::kRollback;
  const std::unique_ptr<Trainer> t = resumed(config, {}, "step-000000010");
  t->model().parameters().all()[0].tensor.detach().fill_(std::nan(""));
  std::vector<int64_t> back;
  TrainerEvents events;
  events.rollback = [&](int64_t step) { back.push_back(step); };
  events.stop = [&] { return t->state().step > 10; };
  t->run(events);
  EXPECT_THAT(back, ElementsAre(10));
}

TEST_F(NewSettingsTest, WhatTheWeightsReadStaysKnown) {
  run(first_run(), "run");
  const nlohmann::json tokenizer = *load_state(checkpoint("run", "last")).tokenizer;
  ASSERT_TRUE(tokenizer.is_object());
  // Bare ids: nobody knows their tokenizer.
  std::filesystem::create_directories(temp_ / "data/bare");
  for (const char* split : {"train", "val"})
    write_shard(temp_ / ("data/bare/" + std::string(split) + ".bin"),
                std::vector<uint32_t>(100, 3));
  const Corpus bare = Corpus::open("bare");
  ASSERT_EQ(bare.tokenizer(), nullptr);
  const int64_t vocab_size = corpus_->vocab_size();
  for (const bool reset : {false, true}) {
    Trainer t(longer(), bare, vocab_size, temp_ / "run");
    t.resume(checkpoint("run", "last"), {/*new_data=*/true, reset});
    EXPECT_EQ(*t.state().tokenizer, tokenizer);
    t.run({});
    EXPECT_EQ(*load_state(checkpoint("run", "last")).tokenizer, tokenizer);
  }
  std::filesystem::create_directories(temp_ / "next/checkpoints");
  Trainer next(first_run(), bare, vocab_size, temp_ / "next");
  next.start_from(checkpoint("run", "last"));
  EXPECT_EQ(*next.state().tokenizer, tokenizer);
  // Weights of unknown ids take the first tokenizer that they are given.
  Trainer unknown(first_run(), bare, vocab_size, temp_ / "unknown");
  EXPECT_EQ(unknown.state().tokenizer, nullptr);
}

}  // namespace
}  // namespace fathom::testing
