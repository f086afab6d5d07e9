// What is said about a run's loops, through the programs: its depths side by side, and where its
// tokens go.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class DepthsOfARun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    const Outcome o =
        place_->run({"train", "looped_tiny", "--dataset=rain", "--run_name=round", "--n_head=2",
                     "--n_embd=16", "--block_size=16", "--batch_size=4", "--max_iters=4",
                     "--eval_iters=1", "--loop_noise_scale=1", "--eval_interval=4",
                     "--decay_lr=False", "--lr=0.003", "--threads=1"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
  }
  static void TearDownTestSuite() { delete place_; }
  static json asked(Words words) {
    words.emplace_back("--json");
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.exit_code == 0 ? json::parse(o.out) : json();
  }

  static SmallRuns* place_;
};
SmallRuns* DepthsOfARun::place_ = nullptr;

TEST_F(DepthsOfARun, AreEvaluatedOnTheSameBatches) {
  const json all =
      asked({"eval", "round", "--loops=1,4,12", "--max_batches=2",
             "--evaluations=again: loop_counts=[12]; drawn: loop_counts_eval=sampled"});
  const json& rows = all["evaluations"];
  ASSERT_EQ(rows.size(), 8U) << all;
  const auto row = [&](const std::string& name) {
    for (const json& r : rows)
      if (r["evaluation"] == name) return r;
    ADD_FAILURE() << name;
    return json();
  };
  EXPECT_EQ(all["trained_loops"], 7) << "which is there though it was not asked for";
  EXPECT_EQ(all["reference"], "7 loops");
  EXPECT_FALSE(row("7 loops").contains("difference"));
  EXPECT_EQ(row("as trained")["loss"], row("4 loops")["loss"]) << "4 is the mean of 1 to 7";
  EXPECT_EQ(row("again")["loss"], row("12 loops")["loss"]) << "the same batches, the same noise";
  EXPECT_NE(row("1 loop")["loss"], row("12 loops")["loss"]);
  EXPECT_TRUE(std::isfinite(row("sampled")["loss"].get<double>()));
  EXPECT_EQ(row("drawn")["loss"], row("sampled")["loss"]) << "the same draws";
  EXPECT_NE(row("drawn")["loss"], row("4 loops")["loss"]);
  EXPECT_GT(row("drawn")["iterations"], 1);
  EXPECT_LT(row("drawn")["iterations"], 7);
  const auto alone = [&](const char* batch) {
    return asked({"eval", "round", "--policy=loop_counts_eval=sampled", batch, "--max_batches=0"});
  };
  const double one = alone("--batch_size=32")["loss"], other = alone("--batch_size=5")["loss"];
  EXPECT_NEAR(one, other, 1e-6) << "a sequence has its count in whatever batch it is";
  EXPECT_GT(row("12 loops")["flops_per_token"], row("4 loops")["flops_per_token"]);
  EXPECT_GT(row("4 loops")["difference_error"], 0);
}

// A layer that is the whole model, trained with 1 to 7 iterations: 15 are better than one, by 0.03
// or more after 150 steps.
TEST_F(DepthsOfARun, HelpTheMoreOftenTheyRun) {
  for (const char* seed : {"1", "2", "3"}) {
    const std::string run = std::string("alone") + seed;
    const Outcome o = place_->run(
        {"train", "looped_tiny", "--dataset=rain", "--run_name=" + run, "--n_layer=1",
         "--loop_groups=[[0]]", "--n_head=2", "--n_embd=32", "--block_size=16", "--batch_size=4",
         "--max_iters=150", "--eval_interval=1000", "--eval_iters=1", "--decay_lr=False",
         "--lr=0.003", "--threads=1", std::string("--seed=") + seed});
    ASSERT_EQ(o.exit_code, 0) << o.err;
    std::map<std::string, double> losses;
    const json all = asked({"eval", run, "--loops=1,15"});
    for (const json& row : all["evaluations"]) losses[row["evaluation"]] = row["loss"];
    EXPECT_LE(losses.at("15 loops"), losses.at("1 loop")) << seed;
  }
}

TEST_F(DepthsOfARun, AreLookedInto) {
  const json all =
      asked({"loops", "round", "--tokens=6", "--counts=1,4", "--jacobian", "--pca=3", "--weights",
             "--sweep=1e9,0", "--box_pca", "--csv=" + place_->path("way.csv").string(),
             "--convergence_csv=" + place_->path("far.csv").string(),
             "--numbers_csv=" + place_->path("numbers.csv").string()});
  ASSERT_EQ(all["groups"].size(), 1U);
  EXPECT_EQ(all["explained"].size(), 3U);
  EXPECT_EQ(all["trajectories"][0].size(), 6U);
  EXPECT_EQ(all["trajectories"][0][0].size(), 4U);
  EXPECT_EQ(all["jacobians"].size(), 3U * 4) << "of the iterations 1 to 3, at four tokens";
  EXPECT_EQ(all["groups"][0]["box_dimension_on_axes"].size(), 6U) << "a token each";
  const json& walk = all["texts"][0]["walk"];
  ASSERT_EQ(walk.size(), all["texts"][0]["global"]["relative"].size());
  EXPECT_EQ(walk[0]["layer"], 0);
  EXPECT_EQ(walk[0]["iterations"], json::array());
  EXPECT_EQ(walk[1]["iterations"], json({1}));
  EXPECT_EQ(walk[4]["iterations"], json({4}));
  EXPECT_GT(all["jacobians"][0]["operator_norm"], 0);
  EXPECT_EQ(all["spreads"].size(), 2U);
  EXPECT_NEAR(all["spreads"][0]["states"].get<double>(), 0, 1e-12)
      << "a loop of one iteration has no noise";
  EXPECT_GT(all["spreads"][1]["states"], 0);
  EXPECT_FALSE(all["weights"].empty());
  const json& exits = all["exits"];
  ASSERT_EQ(exits.size(), 4U);
  EXPECT_EQ(exits[1]["iterations"], 4);
  EXPECT_LT(exits[2]["iterations"], 4) << "every change is below 1e9";
  EXPECT_EQ(exits[3]["iterations"], 4) << "none is below 0";
  EXPECT_NEAR(exits[3]["loss"][0].get<double>(), exits[1]["loss"][0].get<double>(), 1e-5);
  EXPECT_THAT(slurp(place_->path("way.csv")), HasSubstr("axis3\n0,0,0,0,"));
  // A line an iteration, and one a step of the walk.
  const std::string far = slurp(place_->path("far.csv"));
  EXPECT_EQ(static_cast<size_t>(std::count(far.begin(), far.end(), '\n')), 1 + 4 + walk.size());
  EXPECT_THAT(slurp(place_->path("numbers.csv")), HasSubstr("\noperator_norm,0,3,5,,"));
  EXPECT_EQ(asked({"loops", "round", "--tokens=6", "--counts=4", "--jacobian",
                   "--jacobian_iterations=2", "--jacobian_tokens=1"})["jacobians"]
                .size(),
            1U);
  // For people.
  const Outcome text = place_->run({"loops", "round", "--text=the rain", "--counts=3"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("Convergence of the loop of layer"));
  EXPECT_THAT(text.out, HasSubstr("The whole walk"));
}

}  // namespace
}  // namespace fathom::testing
