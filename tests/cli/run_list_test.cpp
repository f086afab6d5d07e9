// `fathom runs`: what the run store knows, one row a run.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/effects_testing.h"
#include "fathom/base/lines.h"
#include "fathom/cli/run_list/request.h"
#include "fathom/report/columns.h"
#include "fathom/report/render.h"
#include "fathom/study/many_runs/list_runs.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::Words;

class RunListTest : public testing::CliTest {
 protected:
  void make_run(const std::string& name, int64_t steps, RunStatus status) const {
    RunStore store(place_.path("runs/fathom.db"));
    const RunHandle run = store.create_run(
        name, "tiny", "[data]\ndataset = \"verses\"\n[training]\nmax_iters = 300\n");
    for (int64_t step = 100; step <= steps; step += 100)
      store.add(run, step, std::vector<MetricValue>{{"train/loss", 4.0 - 0.01 * double(step)}});
    if (steps > 0) store.set_best(run, "eval/val/loss", steps, 2.5);
    store.set_status(run, status);
  }
  nlohmann::json listed(Words words) {
    words.insert(words.begin(), "runs");
    words.emplace_back("--json");
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out);
  }
};

TEST_F(RunListTest, WithoutRunsItSaysWhatCanBeTrained) {
  const Outcome o = run({"runs"});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_THAT(o.out, HasSubstr("`fathom list`"));
  EXPECT_TRUE(listed({}).empty());
}

TEST_F(RunListTest, TheNewestStandsFirstWithItsStepsLossesAndState) {
  make_run("first", 300, RunStatus::kDone);
  make_run("second", 200, RunStatus::kInterrupted);
  make_run("third", 0, RunStatus::kFailed);
  const nlohmann::json all = listed({});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["name"], "third");
  EXPECT_FALSE(all[0].contains("loss"));
  EXPECT_EQ(all[1]["step"], 200);
  EXPECT_EQ(all[1]["max_iters"], 300);
  EXPECT_DOUBLE_EQ(all[1]["loss"], 2.0);
  EXPECT_DOUBLE_EQ(all[1]["best"]["value"], 2.5);
  EXPECT_EQ(all[1]["state"], "interrupted");
  EXPECT_EQ(all[2]["dataset"], "verses");
  EXPECT_THAT(run({"runs"}).out, AllOf(HasSubstr("200/300"), HasSubstr("verses"),
                                       HasSubstr("failed"), HasSubstr("2.0000")));
}

// Eighty columns of a terminal hold what tells runs apart and how they went; elsewhere all is
// there.
TEST_F(RunListTest, LongNamesAreNotCut) {
  {
    RunStore store(place_.path("runs/fathom.db"));
    const RunHandle run =
        store.create_run("looped_vs_plain-params-s1", "gpt2ish_shakespeare_cpu",
                         "[data]\ndataset = \"shakespeare_char\"\n[training]\nmax_iters = 1500\n");
    store.add(run, 1320, std::vector<MetricValue>{{"train/loss", 1.847}});
    store.set_best(run, "eval/val/loss", 1000, 2.0353);
    store.set_status(run, RunStatus::kInterrupted);
  }
  const std::string out = report::render_terminal(list_runs({}), {80, false});
  EXPECT_THAT(out, AllOf(HasSubstr("looped_vs_plain-params-s1  gpt2ish_"), HasSubstr("cpu"),
                         HasSubstr("1,320/1,500  1.8470  2.0353  interrupted"),
                         HasSubstr("Not shown for want of width: data, changed (UTC)."),
                         Not(HasSubstr("…"))));
  for (const std::string_view line : split(out, '\n'))
    EXPECT_LE(report::columns(line), 80U) << line;
  for (const std::string& whole :
       {run({"runs"}).out, report::render_terminal(list_runs({}), {80, false, /*keeps_all=*/true})})
    EXPECT_THAT(whole, AllOf(HasSubstr("gpt2ish_shakespeare_cpu"), HasSubstr("shakespeare_char"),
                             HasSubstr("changed (UTC)"), Not(HasSubstr("want of width"))));
}

TEST_F(RunListTest, OfATrainingPlanTheStepsStandAlone) {
  make_run("planned", 200, RunStatus::kDone);
  std::filesystem::create_directories(place_.path("runs/planned"));
  place_.write("runs/planned/plan.json", R"({"steps": [{"name": "a"}, {"name": "b"}]})");
  const nlohmann::json run_of_plan = listed({})[0];
  EXPECT_FALSE(run_of_plan.contains("max_iters")) << "it is of the last stage alone";
  EXPECT_EQ(run_of_plan["step"], 200);
  EXPECT_THAT(run({"runs"}).out, AllOf(HasSubstr("  200 "), Not(HasSubstr("/300"))));
}

TEST_F(RunListTest, ARunThatSaysItIsRunningAndThatNobodyHoldsWasKilled) {
  make_run("gone", 100, RunStatus::kRunning);
  EXPECT_EQ(listed({})[0]["state"], "killed");
}

TEST_F(RunListTest, PatternsAndTheirMostChooseAmongThem) {
  for (const char* name : {"a-1", "a-2", "b-1"}) make_run(name, 100, RunStatus::kDone);
  EXPECT_EQ(listed({"a-*"}).size(), 2U);
  EXPECT_EQ(listed({"a-1", "b-*"}).size(), 2U);
  EXPECT_EQ(listed({"--most=1"}).size(), 1U);
  EXPECT_EQ(listed({"--most=0"}).size(), 3U);
  EXPECT_THAT(run({"runs", "--most=1"}).out, HasSubstr("2 runs are more: --most=0 shows all"));
  const Outcome none = run({"runs", "c*"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("no run's name is as"));
}

TEST_F(RunListTest, ARunOfAConfigurationThatNobodyReadsIsListed) {
  RunStore store(place_.path("runs/fathom.db"));
  store.create_run("odd", "tiny", "this is no TOML = = =");
  EXPECT_EQ(listed({})[0]["name"], "odd");
}

TEST_F(RunListTest, ItIsAPageAsWell) {
  make_run("first", 300, RunStatus::kDone);
  const std::string page = place_.path("runs.html");
  EXPECT_EQ(run({"runs", "--output=" + page}).exit_code, 0);
  EXPECT_THAT(testing::slurp(page), HasSubstr("<td"));
}

class RunListEffects : public testing::EffectsTest {};

TEST_F(RunListEffects, EveryOptionChangesSomething) {
  const auto parsed = [](const char* word) { return *parse_runs({word}); };
  effects_["runs most"] = [=] { EXPECT_EQ(parsed("--most=3").most, 3); };
  effects_["runs format"] = [=] {
    EXPECT_EQ(parsed("--format=html").output.format, report::Format::kHtml);
  };
  effects_["runs json"] = [=] { EXPECT_EQ(parsed("--json").output.format, report::Format::kJson); };
  effects_["runs output"] = [=] { EXPECT_EQ(parsed("--out=x").output.output, "x"); };
  expect_all([](const std::string& verb) { return verb == "runs"; });
}

}  // namespace
}  // namespace fathom
