// A sweep from its recipe to its comparison, killed and interrupted on the way.
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::SmallRuns;

constexpr const char* kRecipe =
    "preset = \"gpt2ish_shakespeare_cpu\"\nseeds = [1, 2]\nbudget = {steps = 60}\n"
    "[base]\ndataset = \"rain\"\nn_head = 2\nn_embd = 32\nblock_size = 16\nbatch_size = 4\n"
    "eval_interval = 10\neval_iters = 4\nwarmup_iters = 5\nlog_interval = 1\nthreads = 1\n"
    "[grid]\nn_layer = [1, 2]\n";

class Sweep : public ::testing::Test {
 protected:
  Sweep() { place_.write("w.toml", kRecipe); }
  std::string status_of(const std::string& run) const {
    const auto record = RunStore(place_.path("runs/fathom.db")).find(run);
    return record ? status_name(record->status) : "not there";
  }
  std::vector<Point> series(const std::string& run, const std::string& metric) const {
    return RunStore(place_.path("runs/fathom.db")).series(run, metric);
  }

  const SmallRuns place_;
};

TEST_F(Sweep, GoesOnAfterAKillAndAnInterruptAndEndsInAComparison) {
  // Killed: the run that it trains saves and ends too.
  pid_t child = place_.start({"sweep", "w.toml"});
  ASSERT_TRUE(place_.wait_until_there("runs/w-n_layer2-s1/checkpoints/last"));
  kill(child, SIGKILL);
  place_.wait_for(child);
  for (int i = 0; i < 500 && status_of("w-n_layer2-s1") == "running"; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(status_of("w-n_layer1-s1"), "done");

  // Interrupted: the signal is passed on, and the sweep says how to go on.
  child = place_.start({"sweep", "w"});
  ASSERT_TRUE(place_.wait_until_there("runs/w-n_layer1-s2/checkpoints/last"));
  kill(child, SIGTERM);
  Outcome o = place_.wait_for(child);
  EXPECT_EQ(o.exit_code, 128 + SIGTERM) << o.out << o.err;
  EXPECT_THAT(o.out, HasSubstr("To go on:\n  fathom sweep w\n"));

  o = place_.run({"sweep", "w.toml", "--quiet"});
  EXPECT_EQ(o.exit_code, 0) << o.out << o.err;
  EXPECT_THAT(o.out, HasSubstr("w: 4 of 4 runs are complete; `fathom compare w` compares them"));
  for (const char* run : {"w-n_layer1-s1", "w-n_layer1-s2", "w-n_layer2-s1", "w-n_layer2-s2"})
    EXPECT_EQ(status_of(run), "done") << run;
  o = place_.run({"sweep", "w.toml"});
  EXPECT_EQ(o.exit_code, 0) << "nothing is left to do";

  o = place_.run({"compare", "w", "--json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  const auto all = nlohmann::json::parse(o.out);
  EXPECT_EQ(all["groups"][1]["name"], "n_layer = 2");
  EXPECT_EQ(all["groups"][1]["runs"].size(), 2U);
  EXPECT_EQ(all["by"]["steps"]["end"], 60);
  EXPECT_TRUE(all["by"].contains("FLOPs") && all["by"].contains("seconds"));
  EXPECT_EQ(all["by"]["steps"]["measures"].back()["groups"][1]["test"], "paired");

  o = place_.run({"compare", "w-n_layer1-*"});
  EXPECT_THAT(o.out, AllOf(HasSubstr("differ in their seed only"), HasSubstr("distinguishable")));
}

TEST_F(Sweep, WhatARunHasUsedUpGoesOnWhereItWasInterrupted) {
  ASSERT_EQ(place_.train({"--run_name=whole"}).exit_code, 0);
  const pid_t child = place_.start_train({"--run_name=parts"});
  ASSERT_TRUE(place_.wait_until_said("step 30"));
  kill(child, SIGTERM);
  place_.wait_for(child);
  ASSERT_EQ(place_.train({"--run_name=parts", "--resume"}).exit_code, 0);
  for (const char* metric : {"train/tokens", "train/flops"}) {
    const auto whole = series("whole", metric), parts = series("parts", metric);
    ASSERT_EQ(whole.size(), 61U) << "every step, and the evaluation before the first";
    ASSERT_EQ(parts.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(parts[i].value, whole[i].value);
    EXPECT_EQ(whole[0].value, 0);
    EXPECT_NEAR(whole[60].value, 2 * whole[30].value, 1e-6 * whole[60].value);
  }
  EXPECT_EQ(series("whole", "train/tokens")[1].value, 4 * 16);
  const auto seconds = series("parts", "train/seconds");
  ASSERT_EQ(seconds.size(), 61U);
  for (size_t i = 1; i < seconds.size(); ++i) EXPECT_GT(seconds[i].value, seconds[i - 1].value);
}

TEST_F(Sweep, ARunThatFailsDoesNotKeepTheOthersFromTheirEnd) {
  // In two stages, beside one another.
  std::string recipe = kRecipe;
  recipe.replace(recipe.find("seeds = [1, 2]\nbudget = {steps = 60}"), 36, "seeds = [1]");
  recipe.replace(recipe.find("n_layer = [1, 2]"), 16, "learning_rate = [1e30, 1e-3]");
  place_.write("f.toml", recipe +
                             "[[stages]]\nsteps = 20\n"
                             "[[stages]]\nsteps = 10\noverrides = {weight_decay = 0.05}\n");
  const Outcome o = place_.run({"sweep", "f.toml", "--jobs=2"});
  EXPECT_EQ(o.exit_code, 1) << o.out << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("f: 1 of 2 runs are complete, 1 failed"),
                           HasSubstr("To go on:\n  fathom sweep f")));
  EXPECT_EQ(status_of("f-learning_rate0.001-s1"), "done");
  EXPECT_EQ(status_of("f-learning_rate1e_30-s1"), "failed");
  EXPECT_EQ(series("f-learning_rate0.001-s1", "eval/val/loss").back().step, 30);
}

}  // namespace
}  // namespace fathom
