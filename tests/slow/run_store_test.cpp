// Two writers and a reader for a minute, one of the writers killed again and again.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <random>
#include <thread>

#include "track/stored_steps.h"
#include "track/support.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A writer of `name` until `end`, which reports each step after it was stored.
struct Writer {
  pid_t child;
  int reports;

  int64_t last_report() const {
    int64_t step = 0, last = 0;
    while (read(reports, &step, sizeof step) == sizeof step) last = step;
    close(reports);
    return last;
  }
};

Writer start_writer(const std::string& path, const std::string& name,
                    steady_clock::time_point end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
  fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);  // a minute's steps
  const pid_t child = in_process([&] {
    RunStore own(path);
    const RunHandle run = own.create_run(name, "e", "");
    for (int64_t step = 1; steady_clock::now() < end; ++step) {
      own.add(run, step, values_at(step));
      if (write(ends[1], &step, sizeof step) != sizeof step) return;
      // As often as fast training logs; more would fill the pipe.
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  close(ends[1]);
  return {child, ends[0]};
}

TEST(RunStoreForAMinute, LosesNothingThatWasCommitted) {
  const TempFolder folder;
  const std::string path = folder / "fathom.db";
  RunStore store(path);
  std::mt19937 generator(17);
  const auto end = steady_clock::now() + std::chrono::seconds(60);
  const Writer steady = start_writer(path, "steady", end);
  std::map<std::string, int64_t> reported;
  int64_t reads = 0;
  while (steady_clock::now() < end) {
    const std::string name = "killed" + std::to_string(reported.size());
    const Writer victim = start_writer(path, name, end);
    const auto death = steady_clock::now() + milliseconds(50 + generator() % 2000);
    for (; steady_clock::now() < death; ++reads) {
      if (store.find("steady")) whole_steps(store, "steady");
      std::this_thread::sleep_for(milliseconds(10));
    }
    kill(victim.child, SIGKILL);
    wait_status(victim.child);
    reported[name] = victim.last_report();
  }
  EXPECT_TRUE(succeeded(steady.child));
  reported["steady"] = steady.last_report();
  int64_t stored = 0;
  for (const auto& [name, steps] : reported) {
    const int64_t there = store.find(name) ? whole_steps(store, name) : 0;
    EXPECT_GE(there, steps) << name;
    EXPECT_LE(there, steps + 1) << name;
    stored += there;
  }
  EXPECT_TRUE(is_sound(path));
  std::printf("%zu writers killed, %ld steps stored, %ld reads, none lost\n", reported.size() - 1,
              static_cast<long>(stored), static_cast<long>(reads));
  EXPECT_GT(reported.size(), 20U);
}

}  // namespace
}  // namespace fathom
