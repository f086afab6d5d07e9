// The run store between processes: writers and readers at once, kills, and missing permissions.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>

#include "fathom/track/run_store.h"
#include "track/stored_steps.h"
#include "track/support.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class RunStoreProcessTest : public ::testing::Test {
 protected:
  TempFolder folder_;
  const std::string path_ = folder_ / "fathom.db";
};

TEST_F(RunStoreProcessTest, ManyMayCreateTheFileAtOnce) {
  for (int round = 0; round < 5; ++round) {
    const std::string path = folder_ / std::to_string(round) + ".db";
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i)
      children.push_back(in_process(
          [&] { RunStore(path).create_run("run-" + std::to_string(i), "e", "config"); }));
    for (const pid_t child : children) EXPECT_TRUE(succeeded(child));
    EXPECT_EQ(RunStore(path).runs().size(), 6u);
  }
}

TEST_F(RunStoreProcessTest, TwoWritersAndAReaderForASecond) {
  RunStore store(path_);
  const auto end = steady_clock::now() + milliseconds(1000);
  std::vector<pid_t> writers;
  for (const char* name : {"left", "right"})
    writers.push_back(in_process([&] {
      RunStore own(path_);
      const RunHandle run = own.create_run(name, "e", "");
      // Ten at least, however busy the machine is.
      for (int64_t step = 1; step <= 10 || steady_clock::now() < end; ++step)
        own.add(run, step, values_at(step));
      own.set_status(run, RunStatus::kDone);
    }));
  int64_t left = 0, right = 0;
  while (steady_clock::now() < end) {
    const int64_t left_now = whole_steps(store, "left");
    const int64_t right_now = whole_steps(store, "right");
    EXPECT_GE(left_now, left);
    EXPECT_GE(right_now, right);
    left = left_now, right = right_now;
  }
  for (const pid_t writer : writers) EXPECT_TRUE(succeeded(writer));

  for (const char* name : {"left", "right"}) {
    EXPECT_EQ(store.find(name)->status, RunStatus::kDone);
    EXPECT_EQ(whole_steps(store, name), store.find(name)->last_step);
    EXPECT_GT(store.find(name)->last_step, 0);
  }
  EXPECT_TRUE(is_sound(path_));
}

// The writer reports each step after add() has returned; what it has reported must be there.
TEST_F(RunStoreProcessTest, KilledWriterLosesNothingThatItHasReported) {
  RunStore store(path_);
  for (int round = 0; round < 10; ++round) {
    const std::string name = "run-" + std::to_string(round);
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t writer = in_process([&] {
      RunStore own(path_);
      const RunHandle run = own.create_run(name, "e", "");
      for (int64_t step = 1;; ++step) {
        own.add(run, step, values_at(step));
        if (write(pipe_ends[1], &step, sizeof step) != sizeof step) return;
      }
    });
    close(pipe_ends[1]);
    std::this_thread::sleep_for(milliseconds(20 + 7 * round));
    kill(writer, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(wait_status(writer)));
    int64_t reported = 0;
    while (read(pipe_ends[0], &reported, sizeof reported) == sizeof reported) {
    }
    close(pipe_ends[0]);

    const int64_t stored = store.find(name) ? whole_steps(store, name) : 0;
    EXPECT_GE(stored, reported);
    EXPECT_LE(stored, reported + 1);
    EXPECT_TRUE(is_sound(path_));
  }
  // The dead have left no lock behind.
  store.create_run("next", "e", "");
}

// Permissions do not bind root, so the test becomes somebody else for it.
TEST_F(RunStoreProcessTest, ReadOnlyFolderIsNamed) {
  RunStore(path_).create_run("a", "e", "");
  std::filesystem::permissions(path_, std::filesystem::perms(0444));
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0555));
  constexpr uid_t kNobody = 65534;
  EXPECT_TRUE(succeeded(in_process([&] {
    if (geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) fail("cannot leave root");
    const auto expect = [](const std::string& error) {
      if (error.find("read-only") == std::string::npos) fail("other error: " + error);
      if (error.find("HINT: set FATHOM_RUNS") == std::string::npos) fail("other hint: " + error);
    };
    expect(error_of([&] { RunStore(path_).create_run("b", "e", ""); }));
    expect(error_of([&] { RunStore store(folder_ / "other.db"); }));
    const std::string below = error_of([&] { RunStore store(folder_ / "below/fathom.db"); });
    if (below.find("cannot create the folder") == std::string::npos) fail("other error: " + below);
  })));
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
}

}  // namespace
}  // namespace fathom
