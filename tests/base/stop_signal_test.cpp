#include "fathom/base/stop_signal.h"

#include <gtest/gtest.h>

#include <csignal>

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

TEST(StopSignal, TheSecondEndsTheProcess) {
  const auto two = [](int first, int second) {
    const StopSignal stop;
    std::raise(first);
    std::raise(second);
  };
  EXPECT_EXIT(two(SIGTERM, SIGINT), ::testing::ExitedWithCode(130), "");
  EXPECT_EXIT(two(SIGINT, SIGTERM), ::testing::ExitedWithCode(143), "");
  EXPECT_EXIT(two(SIGTERM, SIGTERM), ::testing::ExitedWithCode(143), "");
  EXPECT_EXIT(two(SIGHUP, SIGTERM), ::testing::ExitedWithCode(143), "");
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
