#include "fathom/track/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "track/support.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::time_t kMoment = 1769869530;  // 2026-01-31 14:25:30 UTC

class RunFolderTest : public ::testing::Test {
 protected:
  std::string make_run(const std::string& name, int minutes_old = 0) {
    const std::string path = run_folder(name);
    RunFolder::claim(path);
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::minutes(minutes_old));
    return path;
  }
  TempFolder folder_;
  const std::string root_ = folder_ / "runs";
  const ScopedEnvironment runs_{"FATHOM_RUNS", root_.c_str()};
};

TEST_F(RunFolderTest, RootFollowsTheEnvironment) {
  EXPECT_EQ(runs_root(), root_);
  EXPECT_EQ(run_folder("a"), root_ + "/a");
  for (const char* unset : {"", static_cast<const char*>(nullptr)}) {
    const ScopedEnvironment none("FATHOM_RUNS", unset);
    EXPECT_EQ(runs_root(), "runs");
    EXPECT_EQ(run_folder("a"), "runs/a");
  }
}

TEST_F(RunFolderTest, NamesAreNeverPaths) {
  for (const char* good :
       {"a", "0", "_", "gpt2ish-20260131-142530", "A.b_c-d", "a..b", "fathom", "a.fathom.db"})
    EXPECT_NO_THROW(check_run_name(good)) << good;
  EXPECT_NO_THROW(check_run_name(std::string(128, 'x')));
  for (const char* bad : {"", ".", "..", ".hidden", "-rf", "a/b", "/a", "../a", "a b", "a\\b",
                          "a:b", "a\nb", "gr\xC3\xBC\xC3\x9F", "fathom.db", "fathom.db-wal"})
    EXPECT_THAT(error_of([&] { check_run_name(bad); }),
                AllOf(HasSubstr("is not a name for a run"), HasSubstr("HINT: allowed: 1 to 128")))
        << bad;
  EXPECT_THAT(error_of([] { check_run_name(std::string(129, 'x')); }),
              HasSubstr("it has 129 characters"));
  EXPECT_THAT(error_of([] { check_run_name(std::string("a\0b", 3)); }), HasSubstr("\\x00"));
  EXPECT_THAT(error_of([] { run_folder("../a"); }), HasSubstr("is not a name for a run"));
}

TEST_F(RunFolderTest, DefaultNameIsPresetAndTime) {
  EXPECT_EQ(default_run_name("gpt2ish", kMoment), "gpt2ish-20260131-142530");
  EXPECT_FALSE(fs::exists(root_));
  make_run("gpt2ish-20260131-142530");
  EXPECT_EQ(default_run_name("gpt2ish", kMoment), "gpt2ish-20260131-142530-2");
  make_run("gpt2ish-20260131-142530-2");
  EXPECT_EQ(default_run_name("gpt2ish", kMoment), "gpt2ish-20260131-142530-3");
  EXPECT_EQ(default_run_name("gpt2ish", kMoment + 1), "gpt2ish-20260131-142531");
}

TEST_F(RunFolderTest, DefaultNameIsAlwaysAName) {
  EXPECT_EQ(default_run_name("../my preset.toml", kMoment), "my-preset.toml-20260131-142530");
  EXPECT_EQ(default_run_name("", kMoment), "run-20260131-142530");
  EXPECT_EQ(default_run_name("...", kMoment), "run-20260131-142530");
  for (const std::string& preset : {std::string(500, 'x'), std::string("\xC3\xBC")})
    EXPECT_NO_THROW(check_run_name(default_run_name(preset, kMoment)));
}

TEST_F(RunFolderTest, RunsAreListedNewestFirst) {
  EXPECT_THAT(run_names(), IsEmpty());
  make_run("old", 30);
  make_run("new", 1);
  make_run("middle", 10);
  fs::create_directories(root_ + "/not-a-run");
  fs::create_directories(root_ + "/.hidden/checkpoints");
  write_file(root_ + "/fathom.db", "");
  EXPECT_THAT(run_names(), ElementsAre("new", "middle", "old"));
}

TEST_F(RunFolderTest, RunIsFoundByNameAndByPath) {
  const std::string path = make_run("a");
  EXPECT_EQ(resolve_run("a"), path);
  EXPECT_EQ(resolve_run(path), path);
  EXPECT_EQ(resolve_run(path + "//"), path);
  const std::string elsewhere = folder_ / "copied";
  fs::create_directories(elsewhere);
  write_file(elsewhere + "/config.toml", "");  // a run that was copied without its checkpoints
  EXPECT_EQ(resolve_run(elsewhere), elsewhere);
}

TEST_F(RunFolderTest, UnknownRunNamesTheNearestAndTheNewest) {
  EXPECT_THAT(error_of([] { resolve_run("gpt2ish-1"); }),
              AllOf(HasSubstr("there is no run \"gpt2ish-1\": " + root_ + " holds no runs"),
                    HasSubstr("HINT: train one first")));
  for (int i = 1; i <= 7; ++i) make_run("run-number-" + std::to_string(i), i);
  make_run("papingo", 60);
  EXPECT_THAT(error_of([] { resolve_run("papnigo"); }),
              AllOf(HasSubstr("there is no run \"papnigo\" in " + root_),
                    ::testing::EndsWith("HINT: did you mean papingo? newest: run-number-1, "
                                        "run-number-2, run-number-3, run-number-4, run-number-5")));
  EXPECT_THAT(error_of([] { resolve_run("zzzzzzzz"); }), Not(HasSubstr("did you mean")));
  EXPECT_THAT(error_of([] { resolve_run("runs/papingo2"); }), HasSubstr("did you mean papingo?"));
  for (const char* bad : {"", "/", "..", "a\nb"})
    EXPECT_THAT(error_of([&] { resolve_run(bad); }), HasSubstr("there is no run"));
}

TEST_F(RunFolderTest, APathThatIsNoRunSaysWhy) {
  make_run("papingo", 1);
  const std::string run = root_ + "/papingo";
  fs::create_directories(run + "/checkpoints/last");
  fs::create_directories(folder_ / "empty");
  write_file(folder_ / "notes.txt", "");
  const auto said = [](const std::string& path) { return error_of([&] { resolve_run(path); }); };
  EXPECT_THAT(said(folder_ / "empty"), HasSubstr("has neither config.toml nor checkpoints in it"));
  EXPECT_THAT(said(folder_ / "notes.txt"), HasSubstr("that is a file"));
  EXPECT_THAT(said(folder_ / "none"),
              AllOf(HasSubstr("there is no such folder"), Not(HasSubstr(" in " + root_))));
  EXPECT_THAT(said(run + "/checkpoints/last"), HasSubstr("it belongs to the run " + run + ":"));
  EXPECT_THAT(said(run + "/none"), AllOf(HasSubstr("it belongs to the run " + run + ": name that"),
                                         Not(HasSubstr("--checkpoint"))));
  EXPECT_THAT(error_of([&] { resolve_run(run + "/none", /*takes_checkpoint=*/true); }),
              HasSubstr("name that; --checkpoint=NAME takes one of its checkpoints"));
}

TEST_F(RunFolderTest, WrongUseAndFailuresDiffer) {
  const auto kind_of = [](const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.kind();
    }
    throw std::logic_error("no error");
  };
  fs::create_directories(make_run("a") + "/checkpoints/last");
  EXPECT_EQ(kind_of([] { check_run_name("a/b"); }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of([] { resolve_run("b"); }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of([] { RunFolder::claim(run_folder("a")); }), ErrorKind::kUsage);
  EXPECT_EQ(kind_of([] { RunFolder::claim("/proc/none/a"); }), ErrorKind::kFailure);
}

}  // namespace
}  // namespace fathom
