// A run's folder is held, not looked at once and found again by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fathom/base/held_path.h"
#include "fathom/track/run_folder.h"
#include "track/support.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class HeldRunFolder : public ::testing::Test {
 protected:
  static std::vector<std::string> inside(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path))
      names.push_back(entry.path().filename().string());
    return names;
  }
  // What a run leaves that got as far as its first checkpoint.
  static void make_checkpoint(const std::string& path) {
    fs::create_directories(path + "/checkpoints/last");
    write_file(path + "/checkpoints/last/state.json", "{}");
  }
  TempFolder folder_;
  const std::string run_ = folder_ / "runs/a";
};

TEST_F(HeldRunFolder, ClaimMakesAllThatIsNeeded) {
  const RunFolder run = RunFolder::claim(run_);
  EXPECT_EQ(run.name(), run_);
  EXPECT_EQ(run.run_name(), "a");
  EXPECT_TRUE(run.is_there());
  EXPECT_FALSE(run.took_left_over());
  EXPECT_THAT(inside(run_), UnorderedElementsAre(".lock", "checkpoints"));
  EXPECT_TRUE(is_held(run_));
  EXPECT_EQ(folder_use(run_), FolderUse::kHeld);
  write_file(run.path() + "/config.toml", "x");
  EXPECT_TRUE(fs::exists(run_ + "/config.toml"));
  EXPECT_EQ(shown_paths(run.path() + "/config.toml"), run_ + "/config.toml");
}

// The weights of a run whose folder was removed must not get into the next run of that name.
TEST_F(HeldRunFolder, ARemovedFolderIsNotTheNextOfItsName) {
  const RunFolder first = RunFolder::claim(run_);
  fs::remove_all(run_);
  EXPECT_FALSE(first.is_there());
  const RunFolder second = RunFolder::claim(run_);
  EXPECT_FALSE(first.is_there());
  EXPECT_TRUE(second.is_there());
  write_file(second.path() + "/checkpoints/mine", "second");
  write_file(first.path() + "/checkpoints/mine", "first");
  std::error_code error;
  fs::create_directories(first.path() + "/checkpoints/last", error);
  EXPECT_TRUE(error) << "what is written into a removed folder fails";
  EXPECT_THAT(inside(run_ + "/checkpoints"), UnorderedElementsAre("mine"));
}

TEST_F(HeldRunFolder, ARenamedFolderIsFollowed) {
  const RunFolder run = RunFolder::claim(run_);
  fs::rename(run_, folder_ / "runs/b");
  EXPECT_FALSE(run.is_there());
  write_file(run.path() + "/config.toml", "x");
  EXPECT_TRUE(fs::exists(folder_ / "runs/b/config.toml"));
  EXPECT_TRUE(is_held(folder_ / "runs/b"));
}

TEST_F(HeldRunFolder, OnlyOneHoldsIt) {
  {
    const RunFolder run = RunFolder::claim(run_);
    for (const auto& attempt : {&RunFolder::claim, &RunFolder::open, &RunFolder::replace})
      EXPECT_THAT(error_of([&] { attempt(run_); }),
                  HasSubstr("is being trained by another process"));
  }
  EXPECT_FALSE(is_held(run_));
  EXPECT_NO_THROW(RunFolder::open(run_));
  const pid_t child = in_process([&] {
    const RunFolder run = RunFolder::open(run_);
    ::kill(getpid(), SIGKILL);
  });
  wait_status(child);
  EXPECT_FALSE(is_held(run_)) << "the hold ends with the process, however that ends";
}

TEST_F(HeldRunFolder, OneOfManyProcessesClaims) {
  for (int round = 0; round < 6; ++round) {
    const std::string path = run_ + std::to_string(round);
    if (round % 3 == 1) fs::create_directories(path);
    if (round % 3 == 2) fs::create_directories(path + "/checkpoints");  // left over
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i)
      children.push_back(in_process([&] {
        if (error_of([&] {
              const RunFolder run = RunFolder::claim(path);
              make_checkpoint(run.path());
            }) != "no error")
          _exit(2);
      }));
    int winners = 0;
    for (const pid_t child : children) winners += succeeded(child);
    EXPECT_EQ(winners, 1);
  }
}

// Two runs that are started in the same second have the same name to begin with.
TEST_F(HeldRunFolder, EveryProcessFindsAFreeName) {
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i)
    children.push_back(in_process([&] {
      const RunFolder run = RunFolder::claim_free(run_);
      make_checkpoint(run.path());
    }));
  for (const pid_t child : children) EXPECT_TRUE(succeeded(child));
  EXPECT_THAT(inside(folder_ / "runs"),
              UnorderedElementsAre("a", "a-2", "a-3", "a-4", "a-5", "a-6"));
}

TEST_F(HeldRunFolder, WhatAFailedStartHasLeftIsTaken) {
  { const RunFolder run = RunFolder::claim(run_); }
  write_file(run_ + "/config.toml", "n_layer = 1");
  write_file(run_ + "/data.json", "{}");
  write_file(run_ + "/launch.txt", "srun 7");
  fs::create_directories(run_ + "/tensorboard");
  fs::create_directories(run_ + "/checkpoints/.last.staging-123");
  EXPECT_EQ(folder_use(run_), FolderUse::kLeftOver);
  const RunFolder run = RunFolder::claim(run_);
  EXPECT_TRUE(run.took_left_over());
  EXPECT_THAT(inside(run_), UnorderedElementsAre(".lock", "checkpoints"));
  EXPECT_TRUE(fs::is_empty(run_ + "/checkpoints"));
}

TEST_F(HeldRunFolder, WhateverElseIsThereStays) {
  const auto refused = [&](const char* what) {
    EXPECT_THAT(error_of([&] { RunFolder::claim(run_); }), HasSubstr("already holds a run"))
        << what;
    EXPECT_FALSE(fs::exists(run_ + "/.lock")) << what;
    fs::remove_all(run_);
  };
  make_checkpoint(run_);
  refused("a run");
  fs::create_directories(run_ + "/checkpoints/.last.previous");
  refused("a checkpoint that was being replaced");
  fs::create_directories(run_ + "/checkpoints");
  fs::create_directories(run_ + "/checkpoints-1");
  refused("checkpoints that were set aside");
  fs::create_directories(run_);
  write_file(run_ + "/config.toml", "");
  refused("a copy of a configuration");
  fs::create_directories(run_ + "/checkpoints");
  write_file(run_ + "/notes.txt", "years of work");
  refused("somebody's notes");
  fs::create_directories(run_);
  write_file(run_ + "/thesis.tex", "years of work");
  EXPECT_EQ(folder_use(run_), FolderUse::kOther);
  EXPECT_THAT(error_of([&] { RunFolder::replace(run_); }),
              HasSubstr("does not look like a run, so it is not removed"));
  refused("a thesis");
  write_file(run_, "text");
  EXPECT_THAT(error_of([&] { RunFolder::claim(run_); }), HasSubstr("is a file"));
  EXPECT_THAT(error_of([&] { RunFolder::claim(run_ + "/below"); }),
              HasSubstr("cannot create the run's folder"));
  EXPECT_THAT(error_of([&] { RunFolder::open(run_ + "x"); }), HasSubstr("cannot open"));
}

TEST_F(HeldRunFolder, ForceEmptiesAndNeverLetsGo) {
  make_checkpoint(run_);
  write_file(run_ + "/config.toml", "");
  fs::create_directories(run_ + "/checkpoints-1/last");
  RunFolder run = RunFolder::replace(run_);
  EXPECT_TRUE(fs::exists(run_ + "/checkpoints/last")) << "until it is cleared";
  run.clear();
  EXPECT_THAT(inside(run_), UnorderedElementsAre(".lock", "checkpoints"));
  EXPECT_TRUE(fs::is_empty(run_ + "/checkpoints"));
  EXPECT_TRUE(is_held(run_));
  EXPECT_TRUE(run.is_there());
  EXPECT_NO_THROW(RunFolder::replace(folder_ / "runs/new")) << "nothing there: it is claimed";
  EXPECT_TRUE(fs::exists(folder_ / "runs/new/checkpoints"));
}

// The large disk is the other one.
TEST_F(HeldRunFolder, LinksStayLinks) {
  fs::create_directories(folder_ / "disk2/a");
  fs::create_directories(folder_ / "disk3/checkpoints");
  fs::create_directories(folder_ / "runs");
  fs::create_directory_symlink(folder_ / "disk2/a", run_);
  { const RunFolder run = RunFolder::claim(run_); }
  EXPECT_TRUE(fs::exists(folder_ / "disk2/a/checkpoints"));
  make_checkpoint(run_);
  RunFolder::replace(run_).clear();
  EXPECT_TRUE(fs::is_symlink(run_));
  EXPECT_TRUE(fs::is_empty(folder_ / "disk2/a/checkpoints"));

  fs::remove_all(run_ + "/checkpoints");
  fs::create_directory_symlink(folder_ / "disk3/checkpoints", run_ + "/checkpoints");
  make_checkpoint(run_);
  write_file(folder_ / "disk3/checkpoints/other.txt", "not a checkpoint");
  RunFolder::replace(run_).clear();
  EXPECT_TRUE(fs::is_symlink(run_ + "/checkpoints"));
  EXPECT_THAT(inside(folder_ / "disk3/checkpoints"), UnorderedElementsAre("other.txt"));

  fs::create_directory_symlink(folder_ / "nowhere", folder_ / "runs/dangling");
  EXPECT_THAT(error_of([&] { RunFolder::claim(folder_ / "runs/dangling"); }),
              HasSubstr("is a link that leads to no folder"));
  fs::create_directory_symlink("circle", folder_ / "runs/circle");
  EXPECT_THAT(error_of([&] { RunFolder::claim(folder_ / "runs/circle"); }),
              AllOf(HasSubstr("is a link that leads to no folder"), HasSubstr("symbolic links")));
}

TEST_F(HeldRunFolder, AbandonLeavesNothingOfAFailedStart) {
  {
    RunFolder run = RunFolder::claim(run_);
    write_file(run.path() + "/config.toml", "");
    run.abandon();
    run.abandon();
  }
  EXPECT_FALSE(fs::exists(run_));
  fs::create_directories(run_);  // the user's own
  RunFolder::claim(run_).abandon();
  EXPECT_TRUE(fs::is_empty(run_));
  {
    RunFolder run = RunFolder::claim(run_);
    make_checkpoint(run.path());
    run.abandon();
  }
  EXPECT_TRUE(fs::exists(run_ + "/checkpoints/last")) << "that would be a loss";
  RunFolder::open(run_).abandon();
  EXPECT_TRUE(fs::exists(run_ + "/checkpoints/last")) << "it is not its own";
}

TEST_F(HeldRunFolder, AbandonLeavesTheNextOfItsNameAlone) {
  RunFolder first = RunFolder::claim(run_);
  fs::remove_all(run_);
  const RunFolder second = RunFolder::claim(run_);
  first.abandon();
  EXPECT_TRUE(second.is_there());
  EXPECT_TRUE(fs::exists(run_ + "/checkpoints"));
}

TEST_F(HeldRunFolder, LookingDoesNotKeepAnybodyOut) {
  { const RunFolder run = RunFolder::claim(run_); }
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i)
    children.push_back(in_process([&] {
      for (int k = 0; k < 2000; ++k) is_held(run_);
    }));
  for (int k = 0; k < 200; ++k) EXPECT_NO_THROW(RunFolder::open(run_));
  for (const pid_t child : children) EXPECT_TRUE(succeeded(child));
}

}  // namespace
}  // namespace fathom
