// What must not change a run: a resume that is refused or fails, and whatever becomes of its
// folder.
#include <sys/resource.h>

#include <algorithm>

#include "e2e/small_run.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/track/run_store.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A machine with little memory, where 65,536 sequences do not fit: just above what the engine takes
// to start, so that it shows soon.
void give_little_memory() {
  const rlimit limit = {rlim_t{1200} << 20, rlim_t{1200} << 20};
  setrlimit(RLIMIT_AS, &limit);
}

class Undisturbed : public ::testing::Test {
 protected:
  // `whole` ends by itself; `run` is interrupted on its way.
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    place_->write("sea.txt", small_text() + "0123456789 WAVES AND XYZ?");
    ASSERT_EQ(place_->run({"prepare", "sea.txt"}).exit_code, 0);
    std::filesystem::create_directories(place_->path("data/far"));
    std::filesystem::create_directories(place_->path("data/bare"));
    for (const char* split : {"train", "val"}) {
      // One id that the run's vocabulary does not have, where no window is likely to look.
      std::vector<uint32_t> ids(50'000);
      for (size_t i = 0; i < ids.size(); ++i) ids[i] = (i * i / 7) % 20;
      write_ids("data/bare/" + std::string(split) + ".bin", ids);
      ids[40'001] = 900;
      write_ids("data/far/" + std::string(split) + ".bin", ids);
    }
    ASSERT_EQ(place_->train({"--run_name=whole"}).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  static void write_ids(const std::string& name, const std::vector<uint32_t>& ids) {
    std::string bytes;
    for (const uint32_t id : ids) bytes += {static_cast<char>(id), static_cast<char>(id >> 8)};
    place_->write(name, bytes);
  }
  // With another character for one of its own.
  static std::string swapped(std::string text) {
    std::replace(text.begin(), text.end(), 'v', 'w');
    return text;
  }
  static void interrupted_run(const std::string& name) {
    const pid_t child = place_->start_train({"--run_name=" + name});
    ASSERT_TRUE(place_->wait_until_said("step 7/60"));
    kill(child, SIGTERM);
    ASSERT_EQ(place_->wait_for(child).exit_code, 143);
  }
  // Every file of the run's folder, and what the store says of it.
  static std::map<std::string, std::string> all_of(const std::string& run) {
    std::map<std::string, std::string> found;
    const std::string root = place_->path("runs/" + run);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      found[entry.path().string().substr(root.size())] =
          entry.is_regular_file() ? slurp(entry.path()) : "";
    const RunStore store(place_->path("runs/fathom.db"), {/*read_only=*/true});
    const RunRecord record = store.find(run).value();
    found["store"] = record.config_toml + status_name(record.status) +
                     std::to_string(record.last_step) + std::to_string(record.best_step);
    found["losses"] = std::to_string(store.series(run, "train/loss").size());
    return found;
  }
  static void expect_as_whole(const std::string& run) {
    const auto whole = place_->bytes_of("whole"), other = place_->bytes_of(run);
    for (const auto& [file, bytes] : whole)
      EXPECT_TRUE(bytes.size() > 100 && bytes == other.at(file)) << run << ": " << file;
  }

  static SmallRuns* place_;
};
SmallRuns* Undisturbed::place_ = nullptr;

TEST_F(Undisturbed, TwelveRefusedResumesLeaveTheRunAsItWas) {
  interrupted_run("run");
  const auto before = all_of("run");
  struct Attempt {
    Words words;
    int exit_code;
    std::string reason;
    std::string preset = "gpt2ish_shakespeare_cpu";
  };
  const std::vector<Attempt> attempts = {
      {{"--dataset=far", "--accept_new_data"}, 1, "outside the vocabulary"},
      {{"--dataset=far", "--accept_new_data", "--reset_history"}, 1, "outside the vocabulary"},
      {{"--dataset=sea", "--accept_new_data"}, 2, "another tokenizer than the run"},
      {{"--dataset=sea"}, 2, "another tokenizer than the run"},
      {{"--dataset=nowhere"}, 1, "nowhere"},
      {{"--batch_size=65536"}, 1, "memory"},
      {{"--batch_size=65536", "--reset_history"}, 1, "memory"},
      {{"--device=cuda"}, 2, "needs a libtorch with CUDA"},
      {{"--dtype=float16"}, 2, "float16"},
      {{"--checkpoint=step-000000999"}, 2, "step-000000999"},
      {{"--freeze=nothing.like.it"}, 2, "names no parameter"},
      {{}, 2, "is a run of", "quickstart"},
  };
  for (const Attempt& attempt : attempts) {
    Words words = {"train", attempt.preset, "--run_name=run", "--resume"};
    words.insert(words.end(), attempt.words.begin(), attempt.words.end());
    const pid_t child = place_->start(words, give_little_memory);
    const Outcome o = place_->wait_for(child);
    SCOPED_TRACE(::testing::PrintToString(words) + o.out + o.err);
    EXPECT_EQ(o.exit_code, attempt.exit_code);
    EXPECT_THAT(o.err, HasSubstr(attempt.reason));
    const auto after = all_of("run");
    EXPECT_EQ(after.size(), before.size());
    for (const auto& [name, bytes] : before)
      EXPECT_TRUE(after.count(name) > 0 && after.at(name) == bytes) << name;
  }
  const Outcome o = place_->train({"--run_name=run", "--resume"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  expect_as_whole("run");
}

TEST_F(Undisturbed, TheTokenizerCannotBeWalkedAround) {
  interrupted_run("raw");
  const Words resume = {"--run_name=raw", "--resume", "--accept_new_data"};
  const auto with = [&](const std::string& dataset, const std::string& steps) {
    Words words = resume;
    words.push_back("--dataset=" + dataset);
    words.push_back("--max_iters=" + steps);
    return place_->train(words);
  };
  const Outcome bare = with("bare", "20");
  EXPECT_EQ(bare.exit_code, 0) << bare.err;
  const Outcome sea = with("sea", "30");
  EXPECT_EQ(sea.exit_code, 2);
  EXPECT_THAT(sea.err, HasSubstr("another tokenizer than the run"));
  EXPECT_EQ(with("rain", "30").exit_code, 0);
}

// Neither by a run that began with ids alone: what its first text was is its tokenizer from then
// on.
TEST_F(Undisturbed, TheFirstTokenizerOfRawIdsStays) {
  place_->write("tide.txt", swapped(small_text()));
  ASSERT_EQ(place_->run({"prepare", "tide.txt"}).exit_code, 0);
  Words words = SmallRuns::train_words(
      {"--run_name=ids", "--dataset=bare", "--vocab_size=25", "--max_iters=2"});
  ASSERT_EQ(place_->run(words).exit_code, 0);
  const auto on = [&](const std::string& dataset, const std::string& steps) {
    return place_->train({"--run_name=ids", "--resume", "--accept_new_data", "--dataset=" + dataset,
                          "--max_iters=" + steps});
  };
  const Outcome rain = on("rain", "4");
  EXPECT_EQ(rain.exit_code, 0) << rain.err;
  EXPECT_EQ(on("bare", "6").exit_code, 0);
  const Outcome tide = on("tide", "8");
  EXPECT_EQ(tide.exit_code, 2) << "as many characters, but others: " << tide.out;
  EXPECT_THAT(tide.err, HasSubstr("another tokenizer than the run"));
  EXPECT_EQ(place_->saved_step("ids"), 6);
  EXPECT_EQ(on("rain", "8").exit_code, 0);
}

TEST_F(Undisturbed, AFolderThatIsGoneIsSaidWhereACheckpointMeetsIt) {
  const pid_t child =
      place_->start_train({"--run_name=swept", "--max_iters=100000", "--log_interval=100000",
                           "--checkpoint_interval=3", "--eval_interval=100000"});
  ASSERT_TRUE(place_->wait_until_there("runs/swept/checkpoints/last"));
  std::error_code error;
  while (std::filesystem::exists(place_->path("runs/swept")))
    std::filesystem::remove_all(place_->path("runs/swept"), error);
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("fathom: the run's folder runs/swept was removed or replaced"));
}

TEST_F(Undisturbed, WhatIsRemovedWhileItIsWrittenIsTheReason) {
  const pid_t child =
      place_->start_train({"--run_name=picked", "--max_iters=100000", "--log_interval=100000",
                           "--checkpoint_interval=3", "--eval_interval=100000"});
  ASSERT_TRUE(place_->wait_until_there("runs/picked/checkpoints/last"));
  std::error_code error;
  const std::string away = place_->path("removed");
  // What is being written, until a write has met it. By a rename: remove_all() of a folder that is
  // committed meanwhile would go on in the checkpoint that it became.
  siginfo_t ended = {};
  while (waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0)
    for (std::filesystem::directory_iterator it(place_->path("runs/picked/checkpoints"), error),
         end;
         !error && it != end; it.increment(error))
      if (it->path().filename().string().find(".staging-") != std::string::npos) {
        std::filesystem::rename(it->path(), away, error);
        std::filesystem::remove_all(away, error);
        error.clear();
      }
  const Outcome o = place_->wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("a part of the run's folder runs/picked was removed"));
  EXPECT_TRUE(newest_complete(place_->path("runs/picked/checkpoints")));
}

// Of which the engine's libraries would wait for ever.
TEST_F(Undisturbed, TooLittleMemoryToStartIsSaidAtOnce) {
  for (const Words& words : {Words{"eval", "whole"}, Words{"doctor"}}) {
    const pid_t child = place_->start(words, [] {
      const rlimit limit = {rlim_t{600} << 20, rlim_t{600} << 20};
      setrlimit(RLIMIT_AS, &limit);
      alarm(20);  // stays through execv
    });
    const Outcome o = place_->wait_for(child);
    EXPECT_EQ(o.exit_code, 1) << o.err;
    EXPECT_THAT(o.out + o.err, HasSubstr("this process may have 600.0 MiB of memory (ulimit"));
  }
}

TEST_F(Undisturbed, ARunWhoseFolderIsGoneDoesNotWriteIntoTheNextOne) {
  for (int i = 0; i < 5; ++i) {
    const std::string run = "gone" + std::to_string(i);
    // Long, and at different places of its life.
    const pid_t first =
        place_->start_train({"--run_name=" + run, "--max_iters=100000", "--seed=9"});
    ASSERT_TRUE(place_->wait_until_said("step " + std::to_string(1 + 9 * i) + "/"));
    // The process writes on while its folder is removed, so some tries may be needed.
    std::error_code error;
    if (i % 2 == 1)
      std::filesystem::rename(place_->path("runs/" + run), place_->path("runs/moved" + run));
    while (std::filesystem::exists(place_->path("runs/" + run)))
      std::filesystem::remove_all(place_->path("runs/" + run), error);
    const SmallRuns* next = place_;
    // The next run of that name, while the first one still computes.
    const Outcome second = next->train({"--run_name=" + run});
    EXPECT_EQ(second.exit_code, 0) << second.err;
    int status = 0;
    waitpid(first, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    expect_as_whole(run);
    const RunStore store(place_->path("runs/fathom.db"), {/*read_only=*/true});
    EXPECT_EQ(store.find(run)->status, RunStatus::kDone);
    EXPECT_EQ(store.find(run)->last_step, 60);
  }
}

TEST_F(Undisturbed, AFirstStartThatFailsLeavesNothingInTheWay) {
  Words words = {"--run_name=late", "--batch_size=65536"};
  const pid_t child = place_->start_train(words, give_little_memory);
  const Outcome failed = place_->wait_for(child);
  EXPECT_NE(failed.exit_code, 0);
  EXPECT_THAT(failed.err, AllOf(HasSubstr("not enough memory"), HasSubstr("bytes more")));
  EXPECT_THAT(failed.err, Not(HasSubstr("Allocator")));
  const Outcome o = place_->train({"--run_name=late"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  expect_as_whole("late");
}

TEST_F(Undisturbed, ARunThatFailedBeforeItsFirstCheckpointIsStartedAgain) {
  // As a kill between the claim and the first checkpoint leaves it.
  std::filesystem::create_directories(place_->path("runs/early/checkpoints"));
  place_->write("runs/early/config.toml", "# nothing\n");
  place_->write("runs/early/.lock", "");
  const Outcome o = place_->train({"--run_name=early"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  expect_as_whole("early");
}

TEST_F(Undisturbed, TwoRunsWithoutANameBothStart) {
  const SmallRuns& place = *place_;
  const Words words = SmallRuns::train_words({"--max_iters=2", "--quiet"});
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) children.push_back(place.start(words));
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace fathom::testing
