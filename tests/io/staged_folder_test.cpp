#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "fathom/io/files.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

void write_version(const std::string& final_path, const std::string& text) {
  StagedFolder staged(final_path);
  spill(staged.path() + "/state.json", text);
  std::filesystem::create_directories(staged.path() + "/deep/er");
  spill(staged.path() + "/deep/er/model", text);
  staged.commit();
}

TEST(StagedFolder, AppearsOnCommit) {
  TempFolder folder;
  {
    StagedFolder staged(folder / "last/");  // a slash at the end changes nothing
    EXPECT_EQ(staged.path(), folder / ".last.staging-" + std::to_string(::getpid()));
    spill(staged.path() + "/a", "1");
    EXPECT_FALSE(std::filesystem::exists(folder / "last"));
    staged.commit();
  }
  EXPECT_EQ(slurp(folder / "last/a"), "1");
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

TEST(StagedFolder, ReplacesAFolderAsAWhole) {
  TempFolder folder;
  write_version(folder / "last", "1");
  spill(folder / "last/stray", "not part of the next version");
  write_version(folder / "last", "2");
  EXPECT_EQ(slurp(folder / "last/state.json"), "2");
  EXPECT_EQ(slurp(folder / "last/deep/er/model"), "2");
  EXPECT_FALSE(std::filesystem::exists(folder / "last/stray"));
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

TEST(StagedFolder, WithoutCommitNothingHappens) {
  TempFolder folder;
  write_version(folder / "last", "1");
  {
    StagedFolder staged(folder / "last");
    spill(staged.path() + "/state.json", "2");
  }
  EXPECT_EQ(slurp(folder / "last/state.json"), "1");
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

TEST(StagedFolder, RemovesWhatDeadProcessesLeftButNotLivingOnes) {
  TempFolder folder;
  std::filesystem::create_directories(folder / ".last.staging-1/deep");
  std::filesystem::create_directories(folder / ".last.staging-999999999");
  std::filesystem::create_directories(folder / ".other.staging-1");
  StagedFolder living(folder / "last");
  spill(living.path() + "/state.json", "first");
  EXPECT_EQ(folder.entries().size(), 2u);
  write_version(folder / "last", "second");
  EXPECT_EQ(slurp(folder / "last/state.json"), "second");
  EXPECT_THROW(living.commit(), FolderReplaced);
  EXPECT_EQ(slurp(folder / "last/state.json"), "second");
  EXPECT_EQ(slurp(living.path() + "/state.json"), "first");
  std::filesystem::remove_all(living.path());
  EXPECT_THAT(folder.entries(), ElementsAre(".other.staging-1", "last"));
}

TEST(StagedFolder, RestoresWhatACrashBetweenTwoRenamesSetAside) {
  TempFolder folder;
  write_version(folder / "last", "1");
  EXPECT_EQ(folder_to_read(folder / "last"), folder / "last");
  std::filesystem::rename(folder / "last", folder / ".last.previous");
  EXPECT_EQ(folder_to_read(folder / "last"), folder / ".last.previous");
  { StagedFolder staged(folder / "last"); }
  EXPECT_EQ(slurp(folder / "last/state.json"), "1");
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
  EXPECT_EQ(folder_to_read(folder / "none"), folder / "none");
}

TEST(StagedFolder, RefusesAFileInItsPlace) {
  TempFolder folder;
  spill(folder / "last", "a file");
  EXPECT_THAT(error_of([&] { StagedFolder staged(folder / "last"); }),
              HasSubstr("a file of that name is there"));
  EXPECT_THAT(error_of([&] { StagedFolder staged(folder / "no/last"); }),
              HasSubstr("No such file or directory"));
}

// A child replaces the folder as fast as it can and is killed at a random moment: what is there
// afterwards is one whole version.
TEST(StagedFolder, SurvivesBeingKilled) {
  TempFolder folder;
  write_version(folder / "last", "0");
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (int version = 0;; ++version) write_version(folder / "last", std::to_string(version));
    }
    ::usleep(static_cast<useconds_t>(500 + 397 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string found = folder_to_read(folder / "last");
    ASSERT_FALSE(slurp(found + "/state.json").empty()) << "round " << round;
    ASSERT_EQ(slurp(found + "/state.json"), slurp(found + "/deep/er/model")) << "round " << round;
  }
  write_version(folder / "last", "end");
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

}  // namespace
}  // namespace fathom
