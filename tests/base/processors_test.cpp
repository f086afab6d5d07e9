// How many threads: one function of what was asked for and what the machine gives.
#include "fathom/base/processors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>

#include "errors.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::caught;
using ::testing::HasSubstr;

ThreadLimits machine(int allowed, int online, std::optional<double> quota = {},
                     std::optional<std::string> setting = {}) {
  ThreadLimits limits;
  limits.allowed = allowed, limits.online = online;
  limits.quota = quota, limits.setting = std::move(setting);
  return limits;
}
std::string text(int64_t asked, const ThreadLimits& limits) {
  return thread_text(choose_threads(asked, limits));
}

TEST(Threads, OneAProcessor) {
  EXPECT_EQ(text(0, machine(2, 2)), "2 threads: all that this process may use");
  EXPECT_EQ(text(0, machine(1, 1)), "1 thread: all that this process may use");
  EXPECT_EQ(text(0, machine(3, 8)),
            "3 threads: all that this process may use of the machine's 8 processors");
  EXPECT_EQ(text(0, machine(0, 0)), "1 thread: all that this process may use");
}

TEST(Threads, ProcessesThatShareTakeTheirPart) {
  ThreadLimits limits = machine(8, 8);
  limits.sharing = 3;
  EXPECT_EQ(text(0, limits), "2 threads: its part of 8 processors, which 3 processes share");
  limits.quota = 3.5;
  limits.sharing = 2;
  EXPECT_EQ(text(0, limits), "2 threads: its part of 4 processors, which 2 processes share");
  limits.sharing = 9;
  EXPECT_EQ(choose_threads(0, limits).threads, 1);
  limits.setting = "5";
  EXPECT_EQ(choose_threads(0, limits).threads, 5) << "what was said is for each";
  EXPECT_EQ(choose_threads(6, limits).threads, 6);
}

TEST(Threads, AQuotaIsRoundedUp) {
  EXPECT_EQ(text(0, machine(8, 8, 1.5)), "2 threads: the cgroup's quota of 1.5 processors");
  EXPECT_EQ(text(0, machine(8, 8, 0.25)), "1 thread: the cgroup's quota of 0.25 processors");
  EXPECT_EQ(choose_threads(0, machine(2, 2, 1.5)).threads, 2);
  EXPECT_EQ(text(0, machine(2, 8, 4.0)),
            "2 threads: all that this process may use of the machine's 8 processors");
}

TEST(Threads, TheSettingOfOpenmpCounts) {
  EXPECT_EQ(text(0, machine(8, 8, {}, "3")), "3 threads: as OMP_NUM_THREADS says");
  EXPECT_EQ(text(0, machine(8, 8, 1.5, " 4,2,1 ")), "4 threads: as OMP_NUM_THREADS says")
      << "the outermost level of a list, and before a quota";
  for (const char* nonsense : {"", "abc", "0", "-2", "2x", "1e3", "99999999999", "3.5", ",4"}) {
    const ThreadChoice choice = choose_threads(0, machine(2, 2, {}, nonsense));
    EXPECT_EQ(choice.threads, 2) << nonsense;
    EXPECT_THAT(choice.why, HasSubstr("is not a number of threads")) << nonsense;
  }
  EXPECT_EQ(text(0, machine(2, 2, {}, "100000")),
            "2 threads: all that this process may use; OMP_NUM_THREADS = \"100000\" is more than "
            "the machine carries");
}

TEST(Threads, WhatIsAskedForWinsWithinLimits) {
  EXPECT_EQ(text(5, machine(2, 2, 1.0, "3")), "5 threads: as --threads asks");
  EXPECT_EQ(most_threads(1), 16);
  EXPECT_EQ(most_threads(64), 256);
  EXPECT_EQ(most_threads(4096), 1024);
  for (const int64_t many : {int64_t{17}, int64_t{100'000'000}, (int64_t{1} << 32) + 1,
                             std::numeric_limits<int64_t>::max(), int64_t{-1}}) {
    const Error error = caught([&] { choose_threads(many, machine(2, 2)); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("threads = " + std::to_string(many)),
                      HasSubstr("which has 2 processors; allowed: 0"), HasSubstr("to 16")));
  }
  EXPECT_EQ(choose_threads(16, machine(2, 2)).threads, 16);
}

TEST(Threads, TheLimitOfOpenmpBoundsThemAll) {
  ThreadLimits limits = machine(8, 8, {}, "3");
  limits.thread_limit = "2";
  EXPECT_EQ(text(0, limits), "2 threads: as OMP_THREAD_LIMIT says, in place of 3");
  EXPECT_EQ(text(5, limits), "2 threads: as OMP_THREAD_LIMIT says, in place of 5");
  EXPECT_EQ(text(1, limits), "1 thread: as --threads asks");
  for (const char* nonsense : {"", "0", "-1", "many", "1,2"}) {
    limits.thread_limit = nonsense;
    EXPECT_EQ(text(0, limits), "3 threads: as OMP_NUM_THREADS says") << nonsense;
  }
  setenv("OMP_THREAD_LIMIT", "1", 1);
  EXPECT_EQ(choose_threads(4, thread_limits()).threads, 1);
  unsetenv("OMP_THREAD_LIMIT");
}

// What fathom sets for the libraries is not taken for the user's word.
TEST(Threads, TheEngineKnowsWhoSetTheNumber) {
  unsetenv("OMP_NUM_THREADS");
  unsetenv("FATHOM_THREADS_WHY");
  set_thread_count(choose_threads(0, machine(8, 8, 1.5)));
  EXPECT_STREQ(std::getenv("OMP_NUM_THREADS"), "2");
  EXPECT_EQ(thread_text(choose_threads(0, thread_limits())),
            "2 threads: the cgroup's quota of 1.5 processors");
  unsetenv("FATHOM_THREADS_WHY");
  setenv("OMP_NUM_THREADS", "2,4", 1);
  set_thread_count(choose_threads(0, thread_limits()));
  EXPECT_STREQ(std::getenv("OMP_NUM_THREADS"), "2,4") << "the deeper levels stay the user's";
  EXPECT_EQ(std::getenv("FATHOM_THREADS_WHY"), nullptr);
  setenv("OMP_NUM_THREADS", "many", 1);
  set_thread_count(choose_threads(0, thread_limits()));
  EXPECT_STRNE(std::getenv("OMP_NUM_THREADS"), "many") << "libgomp would warn and take all";
  EXPECT_THAT(choose_threads(0, thread_limits()).why, HasSubstr("\"many\" is not a number"));
  unsetenv("OMP_NUM_THREADS");
  unsetenv("FATHOM_THREADS_WHY");
}

TEST(Threads, TheAffinityMaskIsCounted) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(allowed_processors(), CPU_COUNT(&before));
  EXPECT_GE(online_processors(), allowed_processors());
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(allowed_processors(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

}  // namespace
}  // namespace fathom
