// Real runs, killed two hundred times and interrupted fifty; plans, killed ten times.
#include <algorithm>
#include <cstdio>
#include <random>

#include "e2e/small_plan.h"
#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

TEST(Interruption, TwoHundredKilledRunsGoOn) {
  const SmallRuns place;
  ASSERT_EQ(place.train({"--run_name=whole"}).exit_code, 0);
  std::mt19937 generator(11);
  int survived = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string run = "killed" + std::to_string(i);
    survived += survives_a_kill(place, run, std::chrono::microseconds(generator() % 250'000));
    std::filesystem::remove_all(place.path("runs/" + run));
  }
  std::printf("kills survived: %d of 200\n", survived);
  EXPECT_EQ(survived, 200);
}

TEST(Interruption, TenKilledPlansGoOn) {
  EXPECT_EQ(SmallPlan().survived_kills(10, /*seed=*/19), 10);
}

// The small preset as it is, evaluations included.
TEST(Interruption, SigtermToExitIsShort) {
  const SmallRuns place;
  const Words words = {"train",          "gpt2ish_shakespeare_cpu", "--dataset=rain",
                       "--run_name=run", "--max_iters=1000000",     "--eval_interval=100"};
  std::mt19937 generator(13);
  std::vector<double> seconds;
  for (int i = 0; i < 50; ++i) {
    Words again = words;
    if (i > 0) again.push_back("--resume");
    const pid_t child = place.start(again);
    ASSERT_TRUE(place.wait_until_said("tokens a step"));
    std::this_thread::sleep_for(std::chrono::microseconds(generator() % 3'000'000));
    const auto begin = std::chrono::steady_clock::now();
    kill(child, SIGTERM);
    const Outcome o = place.wait_for(child);
    seconds.push_back(seconds_since(begin));
    ASSERT_EQ(o.exit_code, 143) << o.err;
    ASSERT_GE(place.saved_step("run"), 0);
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("SIGTERM to exit of 50: median %.3f s, 99th percentile %.3f s\n", seconds[25],
              seconds[49]);
  EXPECT_LT(seconds[49], 2);
}

}  // namespace
}  // namespace fathom::testing
