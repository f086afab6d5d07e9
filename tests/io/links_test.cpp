// Symbolic links, long names and reasons: what writers do with the paths that they are given.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <functional>
#include <thread>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "io/checkpoints.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing::caught;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

void stage(const std::string& path, const std::string& text) {
  StagedFolder staged(path);
  spill(staged.path() + "/a", text);
  staged.commit();
}

TEST(Links, WhatTheyLeadToIsWritten) {
  TempFolder folder;
  fs::create_directories(folder / "disk2/mine");
  fs::create_directory_symlink("disk2/mine", folder / "mine");
  fs::create_symlink("mine", folder / "chain");
  fs::create_symlink("disk2/file", folder / "file");  // not there yet
  stage(folder / "mine", "1");
  EXPECT_EQ(slurp(folder / "disk2/mine/a"), "1");
  stage(folder / "chain/", "2");
  EXPECT_EQ(slurp(folder / "disk2/mine/a"), "2");
  write_file_durably(folder / "file", as_bytes("3"));
  EXPECT_EQ(slurp(folder / "disk2/file"), "3");
  write_output(folder / "file", as_bytes("4"));
  EXPECT_EQ(slurp(folder / "disk2/file"), "4");
  for (const char* link : {"mine", "chain", "file"})
    EXPECT_TRUE(fs::is_symlink(folder / link)) << link;
  EXPECT_THAT(folder.entries(), ElementsAre("chain", "disk2", "file", "mine"));
  testing::save_small(folder / "mine", 7);
  EXPECT_TRUE(fs::is_symlink(folder / "mine"));
  EXPECT_NO_THROW(verify_checkpoint(folder / "mine"));
}

TEST(Links, ADanglingOneIsFollowedIntoAFolderThatIsThere) {
  TempFolder folder;
  fs::create_directory(folder / "disk2");
  fs::create_symlink(folder / "disk2/new", folder / "mine");
  stage(folder / "mine", "1");
  EXPECT_EQ(slurp(folder / "disk2/new/a"), "1");
  fs::create_symlink("nowhere/new", folder / "lost");
  EXPECT_THAT(error_of([&] { stage(folder / "lost", "1"); }), HasSubstr("No such file"));
  EXPECT_THAT(error_of([&] { write_output(folder / "lost", as_bytes("1")); }),
              HasSubstr("there is no folder"));
}

TEST(Links, ALoopIsOneSentence) {
  TempFolder folder;
  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  const std::string loop = folder / "a";
  for (const auto& action : std::vector<std::function<void()>>{
           [&] { stage(loop, "1"); }, [&] { write_file_durably(loop, as_bytes("1")); },
           [&] { write_output(loop, as_bytes("1")); }, [&] { read_text_file(loop, 10); },
           [&] { MappedFile file(loop); }, [&] { kind_of(loop); }, [&] { SeenFolder seen(loop); },
           [&] { newest_complete(loop); }}) {
    const Error error = caught(action);
    EXPECT_THAT(error.what(), HasSubstr("Too many levels of symbolic links"));
    EXPECT_THAT(error.hint(), HasSubstr("lead back to themselves"));
  }
}

TEST(LongNames, ThatTheSystemTakesAreWritten) {
  TempFolder folder;
  const std::string name(255, 'n');
  write_file_durably(folder / name, as_bytes("1"));
  EXPECT_EQ(slurp(folder / name), "1");
  const std::string other(255, 'm');
  stage(folder / other, "2");
  stage(folder / other, "3");
  EXPECT_EQ(slurp(folder / other + "/a"), "3");
  EXPECT_EQ(folder.entries().size(), 2U);
}

TEST(LongNames, ThatItDoesNotTakeAreOneSentence) {
  TempFolder folder;
  const std::string name(300, 'n');
  for (const auto& action : std::vector<std::function<void()>>{
           [&] { stage(folder / name, "1"); },
           [&] { write_file_durably(folder / name, as_bytes("1")); },
           [&] { write_output(folder / name, as_bytes("1")); }, [&] { kind_of(folder / name); }}) {
    const Error error = caught(action);
    EXPECT_THAT(error.what(), HasSubstr("File name too long"));
    EXPECT_THAT(error.what(), HasSubstr(name));
    EXPECT_THAT(error.hint(), HasSubstr("255 bytes"));
  }
}

TEST(Reasons, AFileAboveIsNoMissingFile) {
  TempFolder folder;
  spill(folder / "file", "x");
  EXPECT_THAT(caught([&] { read_text_file(folder / "file/a", 10); }).hint(),
              HasSubstr("is a file"));
  EXPECT_EQ(kind_of(folder / "file/a"), PathKind::kNothing);
  EXPECT_EQ(kind_of(folder / "file"), PathKind::kFile);
  EXPECT_EQ(kind_of(folder.path()), PathKind::kFolder);
  EXPECT_EQ(kind_of("/dev/null"), PathKind::kStream);
}

// An older checkpoint is no answer to a want of descriptors.
TEST(Reasons, TooManyOpenFilesIsNotACheckpointsFault) {
  TempFolder folder;
  testing::save_small(folder / "best", 1);
  testing::save_small(folder / "last", 2);
  rlimit before;
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none = {0, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  std::exception_ptr thrown;  // looked at later: sanitizers need descriptors for that
  try {
    newest_complete(folder.path());
  } catch (...) {
    thrown = std::current_exception();
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(thrown);
  const Error error = caught([&] { std::rethrow_exception(thrown); });
  EXPECT_THAT(error.what(), HasSubstr("Too many open files"));
  EXPECT_THAT(error.hint(), HasSubstr("ulimit -n"));
  EXPECT_EQ(newest_complete(folder.path())->step, 2);
}

// Of many that begin with the same sight, exactly one puts its folder there; it is whole, and the
// others leave nothing.
void race_to(const TempFolder& folder, const std::string& name) {
  std::vector<SeenFolder> seen;
  for (int i = 0; i < 4; ++i) seen.emplace_back(folder / name);
  std::atomic<int> committed = 0, refused = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      StagedFolder staged(folder / name, std::move(seen[static_cast<size_t>(i)]));
      spill(staged.path() + "/a", std::to_string(i));
      try {
        staged.commit();
        ++committed;
      } catch (const FolderReplaced& error) {
        ++refused;
      }
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(committed, 1);
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(slurp(folder / name + "/a").size(), 1U);
}

// Often: what may go wrong between two system calls does so once in a hundred rounds.
TEST(StagedFolder, OfSeveralWritersAtOnceOneSucceeds) {
  for (int round = 0; round < 500 && !HasFailure(); ++round) {
    TempFolder folder;
    fs::create_directory(folder / "corpus");
    race_to(folder, "fresh");
    race_to(folder, "corpus");
    EXPECT_THAT(folder.entries(), ElementsAre("corpus", "fresh"));
  }
}

TEST(StagedFolder, WhatHasVanishedMeanwhileIsWrittenAnew) {
  TempFolder folder;
  stage(folder / "corpus", "1");
  StagedFolder staged(folder / "corpus");
  spill(staged.path() + "/a", "2");
  fs::remove_all(folder / "corpus");
  staged.commit();
  EXPECT_EQ(slurp(folder / "corpus/a"), "2");
  EXPECT_THAT(folder.entries(), ElementsAre("corpus"));
}

TEST(StagedFolder, AFolderThatAppearedOrWasReplacedStays) {
  TempFolder folder;
  StagedFolder staged(folder / "fresh");
  fs::create_directory(folder / "fresh");
  EXPECT_THAT(error_of([&] { staged.commit(); }), HasSubstr("made by another process meanwhile"));
  stage(folder / "old", "1");
  StagedFolder second(folder / "old");
  fs::remove_all(folder / "old");
  fs::create_directory(folder / "old");
  spill(folder / "old/a", "another's");
  EXPECT_THROW(second.commit(), FolderReplaced);
  EXPECT_EQ(slurp(folder / "old/a"), "another's");
}

}  // namespace
}  // namespace fathom
