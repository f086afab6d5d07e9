// Signals, kills and full disks: what a run leaves, and that it goes on from there.
#include <sys/mount.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>
#include <random>

#include "e2e/small_plan.h"
#include "e2e/small_run.h"
#include "fathom/track/run_store.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

class Interrupted : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    ASSERT_EQ(place_->train({"--run_name=whole"}).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  // Resumes `run` to its end and compares it with the run that was not interrupted.
  static void expect_recovery(const std::string& run) {
    const Outcome o = place_->train({"--run_name=" + run, "--resume"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    const auto whole = place_->bytes_of("whole"), resumed = place_->bytes_of(run);
    for (const auto& [file, bytes] : whole)
      EXPECT_TRUE(bytes.size() > 100 && bytes == resumed.at(file)) << file;
    // Every value once, none missing: but for speed and the machine, the same numbers.
    const Words metrics = {"train/loss", "eval/val/loss", "train/gradient_norm"};
    const auto a = numbers("whole", metrics), b = numbers(run, metrics);
    EXPECT_GT(a.size(), 5U);
    EXPECT_EQ(a, b);
  }
  static std::vector<nlohmann::json> numbers(const std::string& run, const Words& metrics) {
    std::istringstream lines(place_->run({"export", run, "--metrics=jsonl"}).out);
    std::vector<nlohmann::json> rows;
    for (std::string line; std::getline(lines, line);) {
      const auto all = nlohmann::json::parse(line);
      nlohmann::json row = {{"step", all.at("step")}};
      for (const std::string& m : metrics)
        if (all.contains(m)) row[m] = all[m];
      if (row.size() > 1) rows.push_back(row);
    }
    return rows;
  }
  static pid_t start(const std::string& run) { return place_->start_train({"--run_name=" + run}); }

  static SmallRuns* place_;
};
SmallRuns* Interrupted::place_ = nullptr;

TEST_F(Interrupted, ASignalSavesAndTheRunGoesOn) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const std::string run = "signal" + std::to_string(signal);
    const pid_t child = start(run);
    ASSERT_TRUE(place_->wait_until_said("step 2/60"));
    kill(child, signal);
    const Outcome o = place_->wait_for(child);
    EXPECT_EQ(o.exit_code, 128 + signal) << o.err;
    EXPECT_THAT(o.out, AllOf(HasSubstr("interrupted; saved at step"),
                             HasSubstr("fathom train gpt2ish_shakespeare_cpu --run_name=" + run +
                                       " --resume")));
    EXPECT_GE(place_->saved_step(run), 2);
    expect_recovery(run);
  }
}

TEST_F(Interrupted, ResumePrintsItsPlan) {
  const pid_t child = start("plan");
  ASSERT_TRUE(place_->wait_until_said("step 3/60"));
  kill(child, SIGTERM);
  place_->wait_for(child);
  const int64_t step = place_->saved_step("plan");
  const Outcome o = place_->train({"--run_name=plan", "--resume", "--n_layer=3", "--dropout=0"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out,
              HasSubstr("going on at step " + std::to_string(step) + " of 60 from runs/plan"));
  EXPECT_THAT(o.err, HasSubstr("n_layer = 2 stays: 3 is for a new run"));
  EXPECT_THAT(o.err, HasSubstr("dropout = 0.0 (was 0.1)"));
  const Outcome again = place_->train({"--run_name=plan", "--resume", "--dropout=0"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out,
            "plan is complete: 60 steps were made and max_iters is 60; a larger one would go on\n");
}

TEST_F(Interrupted, ASecondSignalEndsAtOnce) {
  // Passes too long to leave between two signals.
  const pid_t child = place_->start_train({"--run_name=twice", "--batch_size=2000"});
  ASSERT_TRUE(place_->wait_until_there("runs/twice/checkpoints/last"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(child, SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  kill(child, SIGTERM);
  EXPECT_EQ(place_->wait_for(child).exit_code, 143) << "not that of the first, after saving";
}

// Ctrl-C on `fathom train ... | tee log` ends tee as well.
TEST_F(Interrupted, ABrokenPipeDoesNotLoseTheRun) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = place_->start_train({"--run_name=pipe", "--eval_interval=100000"},
                                          [&] { dup2(ends[1], STDOUT_FILENO); });
  close(ends[1]);
  std::string said;
  char buffer[256];
  while (said.find("step 3/60") == said.npos) {
    const ssize_t got = read(ends[0], buffer, sizeof buffer);
    ASSERT_GT(got, 0);
    said.append(buffer, size_t(got));
  }
  close(ends[0]);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  kill(child, SIGINT);
  EXPECT_EQ(place_->wait_for(child).exit_code, 130);
  EXPECT_GE(place_->saved_step("pipe"), 3);
}

// The last evaluation is part of a complete run.
TEST_F(Interrupted, TheFinalEvaluationIsMadeUpFor) {
  const Words words = {"--run_name=final", "--eval_interval=1000", "--max_iters=10",
                       "--eval_iters=3000"};
  pid_t child = place_->start_train(words);
  ASSERT_TRUE(place_->wait_until_said("step 10/10"));
  kill(child, SIGINT);
  EXPECT_EQ(place_->wait_for(child).exit_code, 130);
  EXPECT_EQ(place_->saved_step("final"), 10);
  Words again = words;
  again.insert(again.end(), {"--resume", "--eval_iters=4"});
  const Outcome o = place_->train(again);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("step 10: train loss"));
  EXPECT_TRUE(std::filesystem::exists(place_->checkpoint("final", "best")));
  EXPECT_THAT(place_->train(again).out, HasSubstr("final is complete"));
}

TEST_F(Interrupted, AFreshHistoryIsTheNewestOne) {
  const Words words = {"--run_name=again", "--checkpoint_interval=20"};
  ASSERT_EQ(place_->train(words).exit_code, 0);
  Words reset = words;
  reset.insert(reset.end(), {"--resume", "--reset_history", "--max_iters=10"});
  const Outcome o = place_->train(reset);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("checkpoints that this run leaves behind are in"));
  EXPECT_EQ(place_->saved_step("again"), 10);
  EXPECT_TRUE(std::filesystem::exists(place_->path("runs/again/checkpoints-1/step-000000060")));
  // And an earlier checkpoint that is gone on from.
  ASSERT_EQ(place_->train({"--run_name=again", "--resume", "--checkpoint_interval=20"}).exit_code,
            0);
  const Outcome back = place_->train(
      {"--run_name=again", "--resume", "--checkpoint=step-000000020", "--max_iters=30"});
  EXPECT_EQ(back.exit_code, 0) << back.err;
  EXPECT_EQ(place_->saved_step("again"), 30);
}

TEST_F(Interrupted, EvalOnlyChangesNothingOfARun) {
  ASSERT_EQ(place_->train({"--run_name=look", "--max_iters=30"}).exit_code, 0);
  const std::string config = slurp(place_->path("runs/look/config.toml"));
  const auto bytes = place_->bytes_of("look");
  const std::string numbers_before = place_->run({"export", "look", "--metrics=csv"}).out;
  const Outcome o = place_->train({"--run_name=look", "--resume", "--eval_only", "--eval_iters=9"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("step 30: train loss"));
  EXPECT_EQ(slurp(place_->path("runs/look/config.toml")), config);
  EXPECT_TRUE(place_->bytes_of("look") == bytes);
  EXPECT_EQ(place_->run({"export", "look", "--metrics=csv"}).out, numbers_before);
}

TEST_F(Interrupted, TheStoreSaysHowItEnded) {
  const auto status = [&] {
    return RunStore(place_->path("runs/fathom.db"), {/*read_only=*/true}).find("status")->status;
  };
  const pid_t child = start("status");
  ASSERT_TRUE(place_->wait_until_said("step 1/60"));
  EXPECT_EQ(status(), RunStatus::kRunning);
  kill(child, SIGTERM);
  place_->wait_for(child);
  EXPECT_EQ(status(), RunStatus::kInterrupted);
  EXPECT_EQ(place_->train({"--run_name=status", "--resume"}).exit_code, 0);
  EXPECT_EQ(status(), RunStatus::kDone);
}

TEST_F(Interrupted, TwoProcessesCannotTrainOneRun) {
  ASSERT_EQ(place_->train({"--run_name=shared", "--max_iters=30"}).exit_code, 0);
  const pid_t child = place_->start_train({"--run_name=shared", "--resume", "--max_iters=1000000"});
  ASSERT_TRUE(place_->wait_until_said("step 31/"));
  const SmallRuns* place = place_;
  // Its own streams would be those of the first: it writes elsewhere.
  const auto second = [&](const Words& more) {
    SmallRuns other;
    std::filesystem::create_directory_symlink(place->path("runs"), other.path("runs"));
    std::filesystem::remove_all(other.path("data"));
    std::filesystem::create_directory_symlink(place->path("data"), other.path("data"));
    return other.train(more);
  };
  for (const char* word : {"--resume", "--force"}) {
    const Outcome o = second({"--run_name=shared", word, "--max_iters=1000000"});
    EXPECT_EQ(o.exit_code, 2) << word;
    EXPECT_THAT(o.err, HasSubstr("being trained by another process")) << word;
  }
  kill(child, SIGTERM);
  EXPECT_EQ(place_->wait_for(child).exit_code, 143);
  EXPECT_GE(place_->saved_step("shared"), 31);
}

// A SIGKILL at any moment: the run goes on from a complete checkpoint.
TEST_F(Interrupted, AKilledRunGoesOnFromItsLastCheckpoint) {
  std::mt19937 generator(7);
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE(survives_a_kill(*place_, "killed" + std::to_string(i),
                                std::chrono::microseconds(generator() % 200'000)))
        << i;
}

TEST(InterruptedPlan, AKilledPlanGoesOnInTheStageWhereItWas) {
  EXPECT_EQ(SmallPlan().survived_kills(3, /*seed=*/17), 3);
}

// As a full disk does, but for everybody: a file size that the checkpoint exceeds.
TEST_F(Interrupted, WhereACheckpointCannotBeWrittenTheOneBeforeStays) {
  ASSERT_EQ(place_->train({"--run_name=full", "--max_iters=30"}).exit_code, 0);
  const std::string before = slurp(place_->checkpoint("full", "last") + "/model.safetensors");
  const pid_t child = place_->start_train({"--run_name=full", "--resume", "--max_iters=90"}, [] {
    const rlimit limit = {100'000, 100'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
  });
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, AllOf(HasSubstr("fathom: cannot write"), HasSubstr("HINT:")));
  EXPECT_EQ(slurp(place_->checkpoint("full", "last") + "/model.safetensors"), before);
  EXPECT_EQ(place_->saved_step("full"), 30);
  const Outcome after = place_->train({"--run_name=full", "--resume"});
  EXPECT_EQ(after.exit_code, 0) << after.err;
}

TEST_F(Interrupted, AFullDiskEndsTheRunWithASentence) {
  const auto disk = place_->path("disk");
  std::filesystem::create_directories(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1400k") != 0)
    GTEST_SKIP() << "only root may mount a small disk";
  const auto on_disk = [&] { setenv("FATHOM_RUNS", disk.c_str(), 1); };
  const Words words = {"--run_name=full", "--checkpoint_interval=10", "--max_iters=400"};
  pid_t child = place_->start_train(words, on_disk);
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, AllOf(HasSubstr("fathom: "), HasSubstr("HINT:")));
  EXPECT_THAT(o.err, AnyOf(HasSubstr("No space left"), HasSubstr("the disk is full")));
  const auto choice = newest_complete(disk / "full/checkpoints");
  EXPECT_TRUE(choice) << "the checkpoints before are intact";
  const int64_t step = choice ? choice->step : 0;
  EXPECT_GE(step, 10);
  mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=64m");
  Words again = words;
  again.insert(again.end(), {"--resume", "--max_iters=60"});
  child = place_->start_train(again, on_disk);
  const Outcome after = place_->wait_for(child);
  EXPECT_EQ(after.exit_code, 0) << after.err;
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(Interrupted, AReadOnlyFolderIsSaid) {
  const auto disk = place_->path("readonly");
  std::filesystem::create_directories(disk);
  if (geteuid() == 0) {
    if (mount("tmpfs", disk.c_str(), "tmpfs", MS_RDONLY, "") != 0)
      GTEST_SKIP() << "root writes everywhere, and may not mount here";
  } else {
    std::filesystem::permissions(
        disk, std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  }
  const pid_t child =
      place_->start_train({"--run_name=nowhere"}, [&] { setenv("FATHOM_RUNS", disk.c_str(), 1); });
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, AllOf(HasSubstr("fathom: "), HasSubstr(disk.string()), HasSubstr("HINT:")));
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(Interrupted, DataThatVanishesOrShrinksEndsTheRunWithASentence) {
  std::filesystem::copy(place_->path("data/rain"), place_->path("data/gone"));
  const auto train_on = [&](const std::string& run) {
    return place_->start_train(
        {"--run_name=" + run, "--dataset=gone", "--max_iters=400", "--checkpoint_interval=20"});
  };
  pid_t child = train_on("shrunk");
  ASSERT_TRUE(place_->wait_until_said("step 21/400"));
  std::filesystem::resize_file(place_->path("data/gone/train.bin"), 1500);
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, AllOf(HasSubstr("train.bin ends at byte"), HasSubstr("HINT:")));
  EXPECT_GT(place_->saved_step("shrunk"), 20) << "what was trained since the last saving is kept";

  std::filesystem::remove_all(place_->path("data/gone"));
  std::filesystem::copy(place_->path("data/rain"), place_->path("data/gone"));
  child = train_on("vanished");
  ASSERT_TRUE(place_->wait_until_said("step 21/400"));
  std::filesystem::remove_all(place_->path("data/gone"));
  EXPECT_EQ(place_->wait_for(child).exit_code, 0) << "an open file stays until it is closed";
  const Outcome resumed =
      place_->train({"--run_name=vanished", "--dataset=gone", "--resume", "--max_iters=500"});
  EXPECT_NE(resumed.exit_code, 0);
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("gone"), HasSubstr("prepare")));
}

TEST_F(Interrupted, AnInitialModelIsOnlyRead) {
  const auto before = place_->bytes_of("whole");
  const Outcome o = place_->train({"--run_name=child", "--initial_model=whole", "--max_iters=3"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("weights from runs/whole/checkpoints/best"));
  EXPECT_TRUE(place_->bytes_of("whole") == before);
  const Outcome other = place_->train({"--run_name=other", "--initial_model=whole", "--n_layer=3"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("is missing"));
  EXPECT_FALSE(std::filesystem::exists(place_->path("runs/other")));
  // A run is removed when the one that takes its place can begin, and not before.
  const Outcome wrong =
      place_->train({"--run_name=child", "--force", "--initial_model=child", "--n_layer=3"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_EQ(place_->saved_step("child"), 3);
  const Outcome self =
      place_->train({"--run_name=child", "--force", "--initial_model=child", "--max_iters=2"});
  EXPECT_EQ(self.exit_code, 0) << self.err;
  EXPECT_EQ(place_->saved_step("child"), 2);
}

}  // namespace
}  // namespace fathom::testing
