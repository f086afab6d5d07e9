// `fathom compare`: runs of the run store side by side.
#include <nlohmann/json.hpp>

#include "cli/cli_testing.h"
#include "fathom/cli/compare/request.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::refusal_of;
using testing::slurp;
using testing::Words;
namespace fs = std::filesystem;

class CompareTest : public testing::CliTest {
 protected:
  // Losses at steps 0, 100, ..., 400 that end `less` lower; noise is the seed's.
  void make_run(const std::string& name, int seed, const std::string& config, double less,
                bool counts = true, RunStatus status = RunStatus::kDone) const {
    fs::create_directories(place_.path("runs/" + name + "/checkpoints/last"));
    RunStore store(place_.path("runs/fathom.db"));
    const RunHandle run = store.create_run(
        name, "gpt2", "[training]\nseed = " + std::to_string(seed) + "\n" + config);
    const double noise = 0.02 * ((seed * 7) % 5) + 0.001 * ((seed + name.size()) % 3);
    for (int i = 0; i < 5; ++i) {
      std::vector<MetricValue> values = {
          {"eval/val/loss", 4.0 - 0.5 * i - less * i / 4 + (i > 0 ? noise : 0)},
          {"eval/val/accuracy", 0.1 * i}};
      // The deeper model's steps take twice as long.
      const double cost = config.find("n_layer = 4") != std::string::npos ? 2 : 1;
      if (counts) {
        values.push_back({"train/tokens", 6400.0 * i});
        values.push_back({"train/flops", 1e9 * cost * i});
        values.push_back({"train/seconds", cost * (i + 0.01 * i * i)});
      }
      store.add(run, 100 * i, values);
    }
    store.set_status(run, status);
  }
  // Two settings, three seeds each.
  void make_six() const {
    for (int seed = 1; seed <= 3; ++seed) {
      make_run("w-2-s" + std::to_string(seed), seed, "n_layer = 2\n", 0);
      make_run("w-4-s" + std::to_string(seed), seed, "n_layer = 4\n", 0.3);
    }
  }
  Outcome compare(Words words) const {
    words.insert(words.begin(), "compare");
    return run(words);
  }
  std::string shown(const Words& words) const {
    const Outcome o = compare(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  }
  json compared(Words words) const {
    words.emplace_back("--json");
    return json::parse(shown(words));
  }
  // Of the last measure of a budget, the group's result.
  static json final(const json& all, const std::string& budget, size_t group) {
    return all["by"][budget]["measures"].back()["groups"][group];
  }
};

TEST_F(CompareTest, RunsThatDifferInTheirSeedAreGroupsThatAreTestedInPairs) {
  make_six();
  const json all = compared({"w-*"});
  EXPECT_EQ(all["groups"][0]["name"], "n_layer = 2");
  EXPECT_EQ(all["groups"][1]["runs"][2]["name"], "w-4-s3");
  const json result = final(all, "steps", 1);
  EXPECT_NEAR(result["difference"], -0.3, 1e-9);
  EXPECT_EQ(result["n"], 3);
  EXPECT_EQ(result["test"], "none") << "same noise in both: pairs without spread";
  EXPECT_THAT(std::string(result["why"]), HasSubstr("differ by the same"));
}

TEST_F(CompareTest, EveryBudgetIsCompared) {
  make_six();
  const json all = compared({"w-*"});
  EXPECT_EQ(all["by"].size(), 3U) << "steps, FLOPs and seconds";
  EXPECT_EQ(all["by"]["steps"]["end"], 400);
  EXPECT_EQ(all["by"]["FLOPs"]["end"], 4e9) << "where the cheaper one ends";
  EXPECT_NEAR(
      final(all, "FLOPs", 1)["mean"].get<double>() - final(all, "FLOPs", 0)["mean"].get<double>(),
      1 - 0.15, 1e-9)
      << "the deeper one had half the steps";
  EXPECT_THAT(all["notices"].dump(), HasSubstr("at equal steps the runs used equal tokens"));
  EXPECT_EQ(compared({"w-*", "--by=tokens"})["by"]["tokens"]["end"], 25600);
}

TEST_F(CompareTest, TheTerminalHasTablesVerdictsAndCurves) {
  make_six();
  make_run("w-2-s9", 9, "n_layer = 2\n", 0);
  make_run("w-4-s8", 8, "n_layer = 4\n", 0.3);
  const std::string text = shown({"w-*", "--by=step"});
  EXPECT_THAT(text, AllOf(HasSubstr("Differences are from n_layer = 2; less is better"),
                          HasSubstr("Early: eval/val/loss at 100 steps"),
                          HasSubstr("Early: steps until eval/val/loss is"),
                          HasSubstr("Final: eval/val/loss at 400 steps"), HasSubstr("Welch"),
                          HasSubstr("n_layer = 4 is better than n_layer = 2.")));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    EXPECT_LE(end - begin, 3 * 80U) << "80 columns, of characters of three bytes at most";
}

TEST_F(CompareTest, TwoRunsOfOnePresetThatDifferInTheirSeedAreNotDistinguishable) {
  make_run("one", 1, "n_layer = 2\n", 0);
  make_run("other", 2, "n_layer = 2\n", 0);
  EXPECT_THAT(shown({"one", "other"}),
              AllOf(HasSubstr("differ in their seed only"), HasSubstr("not distinguishable")));
  const json apart = compared({"one", "other", "--group=word"});
  EXPECT_EQ(final(apart, "steps", 1)["verdict"], "no test");
  EXPECT_THAT(std::string(final(apart, "steps", 1)["why"]), HasSubstr("one run"));
}

TEST_F(CompareTest, GroupsOfWordsAreNotDistinguishableWhereChanceIsAllThereIs) {
  for (int seed = 1; seed <= 6; ++seed)
    make_run((seed <= 3 ? "a" : "b") + std::to_string(seed), seed, "n_layer = 2\n", 0);
  const json all = compared({"a*", "b*", "--group=word"});
  EXPECT_EQ(all["groups"][1]["name"], "b*");
  EXPECT_EQ(final(all, "steps", 1)["verdict"], "not distinguishable at this n");
  EXPECT_GT(final(all, "steps", 1)["detectable"], 0);
  EXPECT_THAT(shown({"a*", "b*", "--group=word"}),
              HasSubstr("b*: not distinguishable from a* at this n (3 and 3): a difference of"));
}

TEST_F(CompareTest, TheBaselineIsAGroupOrARunOfIt) {
  make_six();
  EXPECT_EQ(compared({"w-*", "--baseline=n_layer = 4"})["baseline"], "n_layer = 4");
  EXPECT_EQ(compared({"w-*", "--baseline=w-4-s2"})["baseline"], "n_layer = 4");
  const Outcome o = compare({"w-*", "--baseline=n_layer"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("groups: n_layer = 2; n_layer = 4"));
}

TEST_F(CompareTest, SingleRunsHaveTheirNamesWhereTheirSettingsAreLong) {
  make_run("plain", 1, "learning_rate = 0.001\nn_layer = 2\n", 0);
  make_run("fast", 1, "learning_rate = 0.003\nn_layer = 4\n", 0.3);
  const json all = compared({"plain", "fast", "--by=step"});
  EXPECT_EQ(all["groups"][1]["name"], "fast");
  EXPECT_EQ(all["notices"][1], "fast has learning_rate = 0.003, n_layer = 4");
  make_run("short", 1, "learning_rate = 0.001\nn_layer = 3\n", 0);
  EXPECT_EQ(compared({"plain", "short"})["groups"][1]["name"], "n_layer = 3");
}

TEST_F(CompareTest, OldRunsAreComparedByStepOnly) {
  make_run("new", 1, "n_layer = 2\n", 0);
  make_run("old", 1, "n_layer = 4\n", 0.1, /*counts=*/false);
  const json all = compared({"new", "old"});
  EXPECT_EQ(all["by"].size(), 1U);
  EXPECT_THAT(all["notices"].dump(), HasSubstr("old stored no tokens: not compared by it"));
  const Outcome o = compare({"new", "old", "--by=flops"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("old stored no FLOPs"), HasSubstr("--by=step")));
}

TEST_F(CompareTest, WhatIsReadBetweenEvaluationsIsSaidAndNothingWhereNothingIs) {
  make_run("one", 1, "n_layer = 2\n", 0);
  make_run("two", 1, "n_layer = 3\n", 0.1);
  const json same = compared({"one", "two", "--by=step"});
  EXPECT_EQ(same["notices"].size(), 0U) << "evaluated at the same steps";
  EXPECT_FALSE(final(same, "steps", 1).contains("interpolated"));
  EXPECT_THAT(shown({"one", "two", "--by=step"}),
              ContainsRegex("until eval/val/loss is [0-9.]+, interpolated"))
      << "the step at which a level was passed";

  // Evaluated every 150 steps: at 400, where `one` ends, it was not.
  RunStore store(place_.path("runs/fathom.db"));
  fs::create_directories(place_.path("runs/seldom/checkpoints/last"));
  const RunHandle run = store.create_run("seldom", "gpt2", "[training]\nseed = 1\n");
  for (int i = 0; i < 4; ++i) {
    const std::vector<MetricValue> values = {{"eval/val/loss", 4.0 - 0.5 * i}};
    store.add(run, 150 * i, values);
  }
  store.set_status(run, RunStatus::kDone);
  const json apart = compared({"one", "seldom", "--by=step"});
  EXPECT_EQ(final(apart, "steps", 1)["interpolated"], json({"seldom"}));
  EXPECT_FALSE(final(apart, "steps", 0).contains("interpolated"));
  EXPECT_THAT(shown({"one", "seldom", "--by=step"}),
              HasSubstr("note: interpolated between evaluations: one and 1 more by steps"));
  EXPECT_THAT(apart["notices"].back(), HasSubstr("interpolated between evaluations"));
}

TEST_F(CompareTest, WhatIsNotDoneIsSaid) {
  make_run("one", 1, "", 0);
  make_run("broken", 2, "", 0, true, RunStatus::kFailed);
  fs::create_directories(place_.path("runs/empty/checkpoints"));
  RunStore(place_.path("runs/fathom.db")).create_run("empty", "gpt2", "");
  const std::string notices = compared({"one", "broken", "empty", "one"})["notices"].dump();
  EXPECT_THAT(notices, AllOf(HasSubstr("broken is failed at step 400"),
                             HasSubstr("empty has no numbers yet and is left out")));
}

TEST_F(CompareTest, WhatIsNotThereIsNamed) {
  make_run("one", 1, "", 0);
  Outcome o = compare({"on"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("one"));
  o = compare({"x-*"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("no run's name is as \"x-*\""));
  o = compare({"one", "--metric=eval/val/los"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("it has eval/val/accuracy, eval/val/loss"));
  o = compare({"one", "--level=1"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("does not reach the level 1"));
  EXPECT_THAT(std::string(refusal_of([] { parse_compare({}); }).what()), HasSubstr("RUN"));
}

TEST_F(CompareTest, OutputsAreWrittenInTheFormatOfTheirName) {
  make_six();
  shown({"w-*", "--output=w.svg"});
  EXPECT_THAT(slurp(place_.path("w.svg")), AllOf(HasSubstr("</svg>"), HasSubstr("n_layer = 4")));
  shown({"w-*", "--output=w.html"});
  EXPECT_THAT(slurp(place_.path("w.html")), HasSubstr("At equal FLOPs"));
  EXPECT_THAT(shown({"w-*", "--format=markdown"}), HasSubstr("| n\\_layer = 4 |"));
}

TEST_F(CompareTest, ASweepIsAllItsRunsAndKeepsItsNames) {
  make_six();
  place_.write(
      "runs/w.toml",
      "preset = \"gpt2ish_shakespeare_cpu\"\nseeds = [1, 2, 3, 4]\n"
      "[[settings]]\nname = \"2\"\nn_layer = 2\n[[settings]]\nname = \"4\"\nn_layer = 4\n");
  const json all = compared({"w"});
  EXPECT_EQ(all["groups"][0]["name"], "2");
  EXPECT_EQ(all["groups"][0]["runs"].size(), 3U);
  EXPECT_THAT(all["notices"].dump(), HasSubstr("2 runs of the sweep w are not there yet"));
}

// A run of before loop groups were named by their layers has its group's numbers.
TEST_F(CompareTest, LoopsOfOlderRunsAreFoundByTheirGroupsNames) {
  const auto make = [&](const char* name, const char* group, double loops) {
    fs::create_directories(place_.path(std::string("runs/") + name + "/checkpoints/last"));
    RunStore store(place_.path("runs/fathom.db"));
    const RunHandle run = store.create_run(
        name, "gpt2", "[looping]\nloop_groups = [[0], [2, 3]]\n[training]\nseed = 1\n");
    for (int i = 0; i < 3; ++i) {
      const std::vector<MetricValue> values = {{std::string("train/loops/") + group, loops + i},
                                               {"train/loops/0", -1.0}};
      store.add(run, 100 * i, values);
    }
    store.set_status(run, RunStatus::kDone);
  };
  make("new", "layers_2-3", 5);
  make("old", "1", 7);
  const json all =
      compared({"old", "new", "--group=word", "--metric=train/loops/layers_2-3", "--by=step"});
  EXPECT_EQ(all["groups"].size(), 2U);
  EXPECT_EQ(final(all, "steps", 0)["values"][0], 9);
  EXPECT_EQ(compare({"old", "new", "--metric=train/loops/layers_0-1"}).exit_code, 2);
  EXPECT_EQ(run({"plot", "old", "new", "--metric=train/loops/layers_2-3"}).exit_code, 0);
}

}  // namespace
}  // namespace fathom
