#include "fathom/base/stop_signal.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>

namespace fathom {
namespace {

TEST(StopSignal, RemembersTheFirst) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const StopSignal stop;
    EXPECT_EQ(StopSignal::received(), 0);
    std::raise(signal);
    EXPECT_EQ(StopSignal::received(), signal);
  }
  EXPECT_EQ(StopSignal::received(), 0);
}

// By these a scheduler, a limit or a failing power supply says that the end is near.
TEST(StopSignal, RemembersWhateverWouldEndTheProcess) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    // Faults of the program, what cannot be caught, what ends nothing, and glibc's own two.
    const std::set<int> others = {SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE,  SIGSEGV,
                                  SIGSYS,  SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
                                  SIGPIPE, SIGXFSZ, SIGCHLD, SIGCONT, SIGURG,  SIGWINCH};
    if (others.count(signal) > 0 || (signal > 31 && signal < SIGRTMIN)) continue;
    const StopSignal stop;
    std::raise(signal);
    EXPECT_EQ(StopSignal::received(), signal) << strsignal(signal);
  }
}

TEST(StopSignal, TheSecondEndsTheProcess) {
  const auto two = [](int first, int second) {
    const StopSignal stop;
    std::raise(first);
    std::raise(second);
  };
  EXPECT_EXIT(two(SIGTERM, SIGINT), ::testing::ExitedWithCode(130), "");
  EXPECT_EXIT(two(SIGINT, SIGTERM), ::testing::ExitedWithCode(143), "");
  EXPECT_EXIT(two(SIGTERM, SIGTERM), ::testing::ExitedWithCode(143), "");
  EXPECT_EXIT(two(SIGINT, SIGQUIT), ::testing::ExitedWithCode(131), "");
}

// What a terminal sends to all in the foreground, and torchrun, which is one of them, once more.
TEST(StopSignal, AnEchoIsNotCounted) {
  const auto two = [](std::chrono::nanoseconds echo) {
    const StopSignal stop(echo);
    std::raise(SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::raise(SIGINT);
    std::_Exit(StopSignal::received());
  };
  EXPECT_EXIT(two(std::chrono::hours(1)), ::testing::ExitedWithCode(SIGINT), "");
  EXPECT_EXIT(two(std::chrono::milliseconds(1)), ::testing::ExitedWithCode(130), "");
}

// SLURM sends TERM after USR1, XCPU comes every second: the run needs its time to save.
TEST(StopSignal, AWarningIsNotCounted) {
  const StopSignal stop;
  for (const int signal : {SIGUSR1, SIGUSR1, SIGXCPU, SIGXCPU, SIGHUP, SIGTERM, SIGRTMIN}) {
    std::raise(signal);
    EXPECT_EQ(StopSignal::received(), SIGUSR1);
  }
  EXPECT_EXIT(std::raise(SIGINT), ::testing::ExitedWithCode(130), "") << "TERM was the first";
}

TEST(StopSignal, AClosingTerminalHangsUpTwice) {
  const StopSignal stop;
  std::raise(SIGHUP);
  std::raise(SIGHUP);
  EXPECT_EQ(StopSignal::received(), SIGHUP);
}

TEST(StopSignal, ABrokenPipeIsNoSignal) {
  const StopSignal stop;
  std::raise(SIGPIPE);
  EXPECT_EQ(StopSignal::received(), 0);
}

TEST(StopSignal, AFileThatGrowsTooLargeIsAnError) {
  EXPECT_EXIT(
      {
        const StopSignal stop;
        rlimit limit;
        limit.rlim_cur = limit.rlim_max = 10;
        setrlimit(RLIMIT_FSIZE, &limit);
        std::FILE* file = std::tmpfile();
        const bool written = std::fputs("more than ten bytes", file) >= 0 && std::fflush(file) == 0;
        _exit(!written && errno == EFBIG && StopSignal::received() == 0 ? 7 : 1);
      },
      ::testing::ExitedWithCode(7), "");
}

TEST(StopSignal, GivesTheOldHandlersBack) {
  { const StopSignal stop; }
  EXPECT_EXIT(std::raise(SIGTERM), ::testing::KilledBySignal(SIGTERM), "");
}

TEST(StopSignal, WhatWasIgnoredStaysSo) {
  const auto old = std::signal(SIGHUP, SIG_IGN);
  {
    const StopSignal stop;
    std::raise(SIGHUP);
    std::raise(SIGHUP);
    EXPECT_EQ(StopSignal::received(), 0);
  }
  std::signal(SIGHUP, old);
}

}  // namespace
}  // namespace fathom
