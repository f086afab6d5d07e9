// The order of system calls, and what happens when any one of them fails. This program's own
// fsync, write, rename and renameat2 take the place of the C library's: they note the call, fail
// when told to, and otherwise ask the kernel.
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fathom/io/files.h"
#include "io/checkpoints.h"
#include "io/temp_folder.h"

namespace {

struct Calls {
  bool on = false;
  std::vector<std::string> log;  // "fsync last", ...
  size_t fail_at = SIZE_MAX;     // index of the call that fails
  int error = 0;
  bool no_exchange = false;   // a file system without RENAME_EXCHANGE
  bool small_writes = false;  // writes take 3 bytes at most, every second one is interrupted
};
Calls calls;

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string name_of(int fd) {
  char path[4096];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return last_part(std::string(path, static_cast<size_t>(n > 0 ? n : 0)));
}

// True if the call is to fail; errno is set then.
bool noted(const std::string& call) {
  if (!calls.on) return false;
  calls.log.push_back(call);
  if (calls.log.size() - 1 != calls.fail_at) return false;
  errno = calls.error;
  return true;
}

}  // namespace

extern "C" {

int fsync(int fd) {
  if (noted("fsync " + name_of(fd))) return -1;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

ssize_t write(int fd, const void* data, size_t size) {
  if (calls.on && fd > 2) {
    if (noted("write " + name_of(fd))) return -1;
    if (calls.small_writes) {
      if (calls.log.size() % 2 == 0) return errno = EINTR, -1;
      size = size < 3 ? size : 3;
    }
  }
  return ::syscall(SYS_write, fd, data, size);
}

int rename(const char* from, const char* to) noexcept {
  if (noted("rename " + last_part(from) + " " + last_part(to))) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  if (calls.no_exchange) return errno = EINVAL, -1;
  if (noted("exchange " + last_part(from) + " " + last_part(to))) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
}

}  // extern "C"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

// Runs `action` with calls noted; true if it threw an Error.
template <class Action>
bool watched(Action action, const Calls& how = {}) {
  calls = how;
  calls.on = true;
  bool threw = false;
  try {
    action();
  } catch (const Error&) {
    threw = true;
  }
  calls.on = calls.no_exchange = false;
  return threw;
}

std::string pid() {
  return std::to_string(::getpid());
}

void stage(const std::string& final_path) {
  StagedFolder staged(final_path);
  write_file_durably(staged.path() + "/a", as_bytes("new"));
  staged.commit();
}

TEST(Durability, AFileIsSyncedBeforeItIsRenamedAndItsFolderAfter) {
  TempFolder folder;
  EXPECT_FALSE(watched([&] { write_file_durably(folder / "a", as_bytes("new")); }));
  const std::string temporary = ".a.tmp-" + pid();
  EXPECT_THAT(calls.log,
              ElementsAre("write " + temporary, "fsync " + temporary, "rename " + temporary + " a",
                          "fsync " + last_part(folder.path())));
}

TEST(Durability, AFolderIsSyncedInsideOutThenExchangedThenItsParent) {
  TempFolder folder;
  std::filesystem::create_directory(folder / "last");
  StagedFolder staged(folder / "last");
  spill(staged.path() + "/a", "new");
  EXPECT_FALSE(watched([&] { staged.commit(); }));
  const std::string temporary = ".last.staging-" + pid();
  EXPECT_THAT(calls.log,
              ElementsAre("fsync a", "fsync " + temporary, "exchange " + temporary + " last",
                          "fsync " + last_part(folder.path())));
}

TEST(Durability, PartialAndInterruptedWritesAreContinued) {
  TempFolder folder;
  Calls how;
  how.small_writes = true;
  EXPECT_FALSE(watched([&] { write_file_durably(folder / "a", as_bytes("0123456789")); }, how));
  EXPECT_EQ(slurp(folder / "a"), "0123456789");
}

TEST(Durability, WhicheverCallFailsAFileIsOldOrNewAndNothingIsLeft) {
  for (const int error : {ENOSPC, EIO}) {
    for (size_t fail_at = 0; fail_at < 4; ++fail_at) {
      TempFolder folder;
      spill(folder / "a", "old");
      Calls how;
      how.fail_at = fail_at;
      how.error = error;
      EXPECT_TRUE(watched([&] { write_file_durably(folder / "a", as_bytes("new")); }, how));
      EXPECT_EQ(slurp(folder / "a"), fail_at < 3 ? "old" : "new");
      EXPECT_THAT(folder.entries(), ElementsAre("a"));
    }
  }
}

// With the exchange and without it. Each call in turn fails until none is left to fail; the next
// attempt then succeeds and tidies up.
TEST(Durability, WhicheverCallFailsAFolderIsOldOrNewAndWhole) {
  for (const bool no_exchange : {false, true}) {
    bool failed = true;
    size_t fail_at = 0;
    for (; failed; ++fail_at) {
      TempFolder folder;
      std::filesystem::create_directory(folder / "last");
      spill(folder / "last/a", "old");
      Calls how;
      how.no_exchange = no_exchange;
      how.fail_at = fail_at;
      how.error = EIO;
      failed = watched([&] { stage(folder / "last"); }, how);
      const bool exchanged = fail_at > (no_exchange ? 7u : 6u);
      EXPECT_EQ(slurp(folder / "last/a"), exchanged ? "new" : "old") << "call " << fail_at;
      if (!exchanged) {
        EXPECT_THAT(folder.entries(), ElementsAre("last"));
      }
      stage(folder / "last");
      EXPECT_EQ(slurp(folder / "last/a"), "new");
      EXPECT_THAT(folder.entries(), ElementsAre("last"));
    }
    EXPECT_EQ(fail_at,
              no_exchange ? 10u : 9u);  // that many calls were tried, and one run succeeded
  }
}

TEST(Durability, WithoutExchangeAndWithoutAnyLuckTheOldFolderIsFound) {
  TempFolder folder;
  std::filesystem::create_directory(folder / "last");
  spill(folder / "last/a", "old");
  // A process that dies between the two renames leaves this.
  ASSERT_EQ(::rename((folder / "last").c_str(), (folder / ".last.previous").c_str()), 0);
  EXPECT_EQ(slurp(folder_to_read(folder / "last") + "/a"), "old");
  Calls how;
  how.no_exchange = true;
  EXPECT_FALSE(watched([&] { stage(folder / "last"); }, how));
  EXPECT_EQ(slurp(folder / "last/a"), "new");
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

// What a trainer does at a save: `last`, a numbered one, and no more than one of those.
void save_step(const std::string& checkpoints, int64_t step) {
  testing::save_small(checkpoints + "/last", step);
  testing::save_small(checkpoints + "/" + numbered_name(step), step);
  prune_numbered(checkpoints, 1);
}

TEST(Durability, ACheckpointsManifestIsSyncedLastAndBeforeTheExchange) {
  TempFolder folder;
  testing::save_small(folder / "last", 1);
  CheckpointWriter writer(folder / "last");
  spill(writer.path() + "/state.json", "{}");
  EXPECT_FALSE(watched([&] { writer.commit(); }));
  const std::string staged = ".last.staging-" + pid();
  const std::string temporary = ".manifest.json.tmp-" + pid();
  ASSERT_EQ(calls.log.size(), 9u);
  EXPECT_THAT(std::vector<std::string>(calls.log.begin(), calls.log.begin() + 4),
              ElementsAre("write " + temporary, "fsync " + temporary,
                          "rename " + temporary + " manifest.json", "fsync " + staged));
  EXPECT_THAT(std::vector<std::string>(calls.log.begin() + 4, calls.log.begin() + 6),
              ::testing::UnorderedElementsAre("fsync manifest.json", "fsync state.json"));
  EXPECT_THAT(std::vector<std::string>(calls.log.begin() + 6, calls.log.end()),
              ElementsAre("fsync " + staged, "exchange " + staged + " last",
                          "fsync " + last_part(folder.path())));
}

// A full or broken disk at any call while step 2 is saved: step 1 or 2 is there and complete, and
// the next save tidies up.
TEST(Durability, WhicheverCallFailsTheNewestCheckpointIsComplete) {
  for (const bool no_exchange : {false, true}) {
    for (const int error : {ENOSPC, EIO}) {
      bool failed = true;
      size_t fail_at = 0;
      for (; failed; ++fail_at) {
        ASSERT_LT(fail_at, 100u);
        TempFolder folder;
        save_step(folder.path(), 1);
        Calls how;
        how.no_exchange = no_exchange;
        how.fail_at = fail_at;
        how.error = error;
        failed = watched([&] { save_step(folder.path(), 2); }, how);
        const auto choice = newest_complete(folder.path());
        ASSERT_TRUE(choice.has_value()) << "call " << fail_at;
        EXPECT_THAT(choice->skipped, ElementsAre()) << "call " << fail_at;
        if (!failed) {
          EXPECT_EQ(choice->step, 2);
        }
        verify_checkpoint(folder / "last");
        verify_checkpoint(folder / numbered_name(failed ? 1 : 2));
        save_step(folder.path(), 3);
        EXPECT_EQ(newest_complete(folder.path())->step, 3);
        EXPECT_THAT(folder.entries(), ElementsAre("last", "step-000000003"));
      }
      // Calls that were tried, and one run without a failure.
      EXPECT_EQ(fail_at, no_exchange ? 50u : 49u);
    }
  }
}

}  // namespace
}  // namespace fathom
