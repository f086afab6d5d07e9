#include "fathom/track/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "track/support.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A console that remembers what was written, and a clock that stands still unless told otherwise.
struct Console {
  ProgressOptions options(int64_t total, bool live) {
    ProgressOptions options;
    options.total = total;
    if (live) options.console = ProgressOptions::Console::kLive;
    options.write = [this](std::string_view text) { pieces.emplace_back(text); };
    options.width = [this] { return width; };
    options.clock = [this] { return time; };
    return options;
  }
  std::string take_all() {
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    pieces.clear();
    return all;
  }
  // Without the bars.
  std::string take() {
    std::string all = take_all();
    for (const std::string part : {" ━", " ─", "━", "─"})
      for (size_t at; (at = all.find(part)) != all.npos;) all.erase(at, part.size());
    return all;
  }

  std::vector<std::string> pieces;
  double time = 1000;
  int width = 200;
};

ProgressSample sample(int64_t step) {
  return {step, 2.5, 12345.0};
}

TEST(Progress, PlainLinesComeAtLogStepsOnly) {
  Console console;
  ProgressLine progress(console.options(5000, false));
  for (int64_t step = 1; step <= 4; ++step) {
    console.time += 2;
    progress.update(sample(step), step % 2 == 0);
  }
  EXPECT_THAT(
      console.pieces,
      ElementsAre("step 2/5,000 0.0% | loss 2.5000 | 12.35k tok/s | elapsed 4s\n",
                  "step 4/5,000 0.0% | loss 2.5000 | 12.35k tok/s | left 2h46m | elapsed 8s\n"));
}

TEST(Progress, ExtraPairsFollowInTheirOrder) {
  Console console;
  ProgressLine progress(console.options(0, false));
  ProgressSample extra;
  extra.step = 1234567;
  extra.extra = {{"lr", "6.0e-04"}, {"mfu", "41%"}};
  progress.update(extra, true);
  EXPECT_EQ(console.take(), "step 1,234,567 | elapsed 0s | lr 6.0e-04 | mfu 41%\n");
}

TEST(Progress, UnitAndOddLosses) {
  Console console;
  ProgressOptions options = console.options(3, false);
  options.unit = "shard";
  ProgressLine progress(options);
  progress.update({1, std::numeric_limits<double>::quiet_NaN()}, true);
  EXPECT_EQ(console.take(), "shard 1/3 33.3% | loss nan | elapsed 0s\n");
  progress.update({2, std::numeric_limits<double>::infinity()}, true);
  EXPECT_EQ(console.take(), "shard 2/3 66.6% | loss inf | elapsed 0s\n");  // never rounded up
  progress.update({3}, true);
  EXPECT_EQ(console.take(), "shard 3/3 100.0% | elapsed 0s\n");
}

TEST(Progress, LiveLineIsOverwritten) {
  Console console;
  ProgressLine progress(console.options(10, true));
  progress.update(sample(1), false);
  EXPECT_EQ(console.take(), "\rstep 1/10 10.0% | loss 2.5000 | 12.35k tok/s | elapsed 0s\033[K");
  console.time += 60;
  progress.update(sample(2), true);
  EXPECT_EQ(console.take(), "\rstep 2/10 20.0% | loss 2.5000 | 12.35k tok/s | elapsed 1m00s\033[K");
  console.time += 60;
  progress.update(sample(3), false);
  EXPECT_EQ(console.take(),
            "\rstep 3/10 30.0% | loss 2.5000 | 12.35k tok/s | left 7m00s | elapsed 2m00s\033[K");
}

TEST(Progress, LiveLineIsDrawnTenTimesASecondAtMost) {
  Console console;
  ProgressLine progress(console.options(1000, true));
  for (int64_t step = 0; step <= 1000; ++step) {  // a step each millisecond
    progress.update(sample(step), true);
    console.time += 0.001;
  }
  EXPECT_GE(console.pieces.size(), 9u);
  EXPECT_LE(console.pieces.size(), 11u);
  console.take();
  progress.finish();  // shows what the limit held back
  EXPECT_THAT(console.take(), HasSubstr("\rstep 1,000/1,000 100.0%"));
}

TEST(Progress, OtherLinesGoAboveTheLiveOne) {
  Console console;
  ProgressLine progress(console.options(10, true));
  progress.print("before");
  EXPECT_EQ(console.take(), "before\n");
  progress.update({1}, false);
  console.take();
  progress.print("val loss 1.9");
  EXPECT_EQ(console.take(), "\r\033[Kval loss 1.9\n\rstep 1/10 10.0% | elapsed 0s\033[K");
  progress.finish();
  EXPECT_EQ(console.take(), "\rstep 1/10 10.0% | elapsed 0s\033[K\n");
  progress.print("after");
  EXPECT_EQ(console.take(), "after\n");
  ProgressLine narrow(console.options(10, true));
  console.width = 12;
  narrow.update({1}, false);
  console.take();
  narrow.print("step 1: val loss 1.9");
  EXPECT_EQ(console.take(), "\r\033[Kstep 1: val\n  loss 1.9\n\rstep 1/10 1\033[K");

  Console log;
  ProgressLine plain(log.options(10, false));
  plain.update({1}, true);
  plain.print("val loss 1.9");
  EXPECT_EQ(log.take(), "step 1/10 10.0% | elapsed 0s\nval loss 1.9\n");
}

TEST(Progress, LastStateIsPrintedOnce) {
  Console console;
  {
    ProgressLine progress(console.options(2, false));
    progress.update({1}, true);
    console.take();
    progress.update({2}, false);
    progress.finish();
    progress.finish();
    progress.update({3}, true);
  }
  EXPECT_EQ(console.take(), "step 2/2 100.0% | elapsed 0s\n");
  {
    ProgressLine progress(console.options(2, false));
    progress.update({2}, true);
  }
  EXPECT_EQ(console.take(), "step 2/2 100.0% | elapsed 0s\n");
  { const ProgressLine unused(console.options(2, true)); }
  EXPECT_EQ(console.take(), "");
}

TEST(Progress, ErrorAfterALiveLineBeginsOnItsOwnLine) {
  Console console;
  try {
    ProgressLine progress(console.options(2, true));
    progress.update({1}, false);
    throw 1;
  } catch (int) {
  }
  EXPECT_THAT(console.take(), ::testing::EndsWith("\033[K\n"));
}

TEST(Progress, NarrowTerminalShowsWholePartsOnly) {
  Console console;
  ProgressLine progress(console.options(10, true));
  const auto drawn_at = [&](int width) {
    console.width = width;
    console.time += 1;
    progress.update({1, 2.5, 12345.0}, false);
    const std::string text = console.take();
    return text.substr(1, text.size() - 4);  // between \r and ESC [ K
  };
  const std::string first = "step 1/10 10.0%", second = first + " | loss 2.5000",
                    third = second + " | 12.35k tok/s", all = third + " | elapsed ";
  EXPECT_EQ(drawn_at(200), all + "1s");
  EXPECT_EQ(drawn_at(static_cast<int>(all.size()) + 3), all + "2s");  // one column stays free
  EXPECT_EQ(drawn_at(static_cast<int>(all.size()) + 2), third);
  EXPECT_EQ(drawn_at(static_cast<int>(second.size()) + 1), second);
  EXPECT_EQ(drawn_at(static_cast<int>(second.size())), first);
  EXPECT_EQ(drawn_at(9), "step 1/1");
  EXPECT_EQ(drawn_at(1), "");
  EXPECT_EQ(drawn_at(0), "");
}

// What a person waits for is the last to be left out.
TEST(Progress, EightyColumnsHaveEveryLossAndTheTimeLeft) {
  Console console;
  console.width = 80;
  ProgressLine progress(console.options(50000, true));
  progress.set_evaluation(2.25, 2.125);
  for (int64_t step = 10'000; step < 10'005; ++step) {
    console.time += 1;
    progress.update({step, 2.5, 12345.0, {{"lr", "6.00e-04"}}}, false);
  }
  console.take_all();
  console.time += 1;
  progress.update({10'005, 2.5, 12345.0, {{"lr", "6.00e-04"}}}, false);
  const std::string seen = console.take_all();
  for (const char* part : {"10,005/50,000 20.0%", "loss 2.5000", "val 2.2500", "best 2.1250"})
    EXPECT_THAT(seen, ::testing::HasSubstr(part));
  EXPECT_THAT(seen, ::testing::HasSubstr("| left "));
  EXPECT_THAT(seen, ::testing::Not(::testing::HasSubstr("tok/s")));
}

TEST(Progress, AWideTerminalHasEvaluationsAndABar) {
  Console console;
  ProgressLine progress(console.options(10, true));
  progress.set_evaluation(2.25, 2.125);
  const auto drawn_at = [&](int width) {
    console.width = width;
    console.time += 1;
    progress.update({4, 2.5, 12345.0}, false);
    const std::string text = console.take_all();
    return text.substr(1, text.size() - 4);
  };
  const std::string begin = "step 4/10 40.0% | loss 2.5000 | val 2.2500";
  EXPECT_EQ(drawn_at(static_cast<int>(begin.size()) + 1), begin);
  const std::string losses = begin + " | best 2.1250";
  EXPECT_EQ(drawn_at(static_cast<int>(losses.size()) + 1), losses);
  const std::string all = losses + " | 12.35k tok/s | elapsed ";
  const int columns = static_cast<int>(all.size()) + 2;
  EXPECT_EQ(drawn_at(columns + 1 + 10), all + "3s");  // a bar needs ten, and a blank before it
  EXPECT_EQ(drawn_at(columns + 2 + 10), all + "4s ━━━━──────");
  const std::string wide = drawn_at(1000);
  EXPECT_EQ(text_width(wide), columns + 1 + 40) << "not across the whole screen";
  EXPECT_THAT(wide, ::testing::EndsWith("━"
                                        "────────────────────────"));

  Console log;
  ProgressLine plain(log.options(10, false));
  plain.set_evaluation(2.25, 2.125);
  plain.update({4, 2.5, 12345.0}, true);
  EXPECT_EQ(log.take(), "step 4/10 40.0% | loss 2.5000 | 12.35k tok/s | elapsed 0s\n");

  Console endless;
  endless.width = 200;
  ProgressLine unknown(endless.options(0, true));
  unknown.update({4}, false);
  EXPECT_EQ(endless.take(), "\rstep 4 | elapsed 0s\033[K");
}

TEST(Progress, WhatGoesOnBetweenStepsIsInTheLiveLine) {
  Console console;
  ProgressLine progress(console.options(10, true));
  progress.show_activity("evaluating val", 1, 8);  // before the first step
  EXPECT_EQ(console.take_all(), "\rstep 0/10 0.0% | evaluating val 12.5%\033[K") << "no bar";
  progress.show_activity("evaluating val", 2, 8);
  EXPECT_EQ(console.take(), "") << "ten times a second at most";
  console.time += 1;
  progress.update({1}, false);
  EXPECT_EQ(console.take(), "\rstep 1/10 10.0% | elapsed 1s\033[K");
  console.time += 1;
  progress.show_activity("evaluating val", 8, 8);
  EXPECT_EQ(console.take(), "\rstep 1/10 10.0% | evaluating val 100.0% | elapsed 2s\033[K");
  progress.print("val loss 1.9");
  EXPECT_EQ(console.take(), "\r\033[Kval loss 1.9\n\rstep 1/10 10.0% | elapsed 2s\033[K");
}

TEST(Progress, ALogHearsOfWhatGoesOnOnceAMinute) {
  Console log;
  ProgressLine plain(log.options(10, false));
  plain.update({1}, true);
  log.take();
  for (int i = 1; i <= 150; ++i) {
    log.time += 1;
    plain.show_activity("evaluating val", i, 200);
  }
  EXPECT_THAT(log.pieces, ElementsAre("step 1/10 10.0% | evaluating val 30.0%\n",
                                      "step 1/10 10.0% | evaluating val 60.0%\n"));
  EXPECT_DOUBLE_EQ(plain.silence(), 30);
  plain.print("val loss 1.9");
  EXPECT_DOUBLE_EQ(plain.silence(), 0);
}

TEST(Progress, StylesTakeNoWidth) {
  Console console;
  console.width = 16 + 14;
  ProgressOptions options = console.options(10, true);
  options.colour = true;
  ProgressLine progress(options);
  progress.update({1, 2.5, 12345.0}, false);
  EXPECT_EQ(console.take(), "\rstep 1/10 10.0%\033[2m | \033[0mloss 2.5000\033[K");
}

TEST(StepTimer, IsUnknownForTwoStepsAndIgnoresTheFirst) {
  StepTimer timer(0, 100);
  EXPECT_FALSE(timer.seconds_per_step());
  timer.add(1, 130);  // thirty seconds of warming up
  EXPECT_FALSE(timer.seconds_per_step());
  timer.add(2, 132);
  EXPECT_FALSE(timer.seconds_per_step());
  timer.add(3, 134);
  EXPECT_DOUBLE_EQ(timer.seconds_per_step().value(), 2);
  timer.add(3, 200);  // no new step
  timer.add(2, 200);
  EXPECT_DOUBLE_EQ(timer.seconds_per_step().value(), 2);
}

TEST(StepTimer, DoesNotDependOnHowOftenItIsAsked) {
  StepTimer each(0, 0), tenth(0, 0);
  for (int64_t step = 1; step <= 200; ++step) {
    const double now = step <= 100 ? static_cast<double>(step) : 100 + 3.0 * (step - 100.0);
    if (step >= 10) each.add(step, now);
    if (step % 10 == 0) tenth.add(step, now);
  }
  // 100 steps of 3 s after 90 of 1 s: exp(-2) of the weight is left on the old ones.
  const double old = std::exp(-2.0) - std::exp(-190.0 / 50), all = 1 - std::exp(-190.0 / 50);
  EXPECT_NEAR(each.seconds_per_step().value(), (old + 3 * (1 - std::exp(-2.0))) / all, 1e-9);
  EXPECT_NEAR(tenth.seconds_per_step().value(), each.seconds_per_step().value(), 1e-9);
}

TEST(Progress, TimeLeftCountsFromAResumedStep) {
  Console console;
  ProgressOptions options = console.options(1000, false);
  options.first_step = 900;
  ProgressLine progress(options);
  for (int64_t step = 901; step <= 910; ++step) {
    console.time += 0.5;
    progress.update({step}, false);
    EXPECT_EQ(progress.seconds_left().has_value(), step >= 903);
  }
  EXPECT_DOUBLE_EQ(progress.seconds_left().value(), 45);
  EXPECT_DOUBLE_EQ(progress.elapsed(), 5);

  Console endless;
  ProgressLine unknown(endless.options(0, false));
  for (int64_t step = 1; step <= 10; ++step) endless.time += 1, unknown.update({step}, false);
  EXPECT_FALSE(unknown.seconds_left());
}

}  // namespace
}  // namespace fathom
