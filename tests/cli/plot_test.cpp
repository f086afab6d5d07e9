// `fathom plot`: curves of runs, from the run store.
#include <nlohmann/json.hpp>

#include "cli/cli_testing.h"
#include "fathom/cli/plot/request.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::refusal_of;
using testing::slurp;
using testing::Words;
namespace fs = std::filesystem;

class PlotTest : public testing::CliTest {
 protected:
  PlotTest() {
    make_run("first", "e", "");
    make_run("second", "e", "", 0.5);
  }
  // Losses at steps 0, 100, ..., 400.
  void make_run(const std::string& name, const std::string& experiment, const std::string& config,
                double less = 0) const {
    fs::create_directories(place_.path("runs/" + name + "/checkpoints"));
    RunStore store(place_.path("runs/fathom.db"));
    const RunHandle run = store.create_run(name, experiment, config);
    for (int i = 0; i < 5; ++i) {
      const std::vector<MetricValue> values = {{"eval/val/loss", 4.0 - 0.5 * i - less},
                                               {"train/learning_rate", 1e-3}};
      store.add(run, 100 * i, values);
    }
  }
  Outcome plot(const Words& more) const {
    Words words = {"plot"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  std::string shown(const Words& more) const {
    const Outcome o = plot(more);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out;
  }
  json plotted(Words words) const {
    words.emplace_back("--json");
    return json::parse(shown(words))["parts"][0];
  }
};

TEST_F(PlotTest, SeveralRunsAreCurvesOfOnePicture) {
  const std::string text = shown({"first", "second"});
  EXPECT_THAT(text, AllOf(HasSubstr("* first"), HasSubstr("+ second"), HasSubstr("step")));
  EXPECT_THAT(text, HasSubstr("  curve   points  lowest  at step  last  at step\n"
                              "  first        5       2      400     2      400\n"
                              "  second       5     1.5      400   1.5      400\n"));
  EXPECT_THAT(text, Not(HasSubstr("\033"))) << "no terminal, no colours";
  const json one = plotted({"first", "second"});
  EXPECT_EQ(one["lines"][1]["name"], "second");
  EXPECT_EQ(one["lines"][1]["x"], json({0.0, 100.0, 200.0, 300.0, 400.0}));
  EXPECT_EQ(one["lines"][1]["y"], json({3.5, 3.0, 2.5, 2.0, 1.5}));
}

TEST_F(PlotTest, SeveralMetricsAreCurvesToo) {
  const Words two = {"first", "second", "--metric=eval/val/loss, train/learning_rate"};
  EXPECT_EQ(plotted(two)["lines"][3]["name"], "second: train/learning_rate");
  EXPECT_EQ(plotted({"first", two[2]})["lines"][1]["name"], "train/learning_rate");
  EXPECT_EQ(plotted({"first", "--log_y"})["y"]["log"], true);
}

TEST_F(PlotTest, OutputsAreWrittenInTheFormatOfTheirName) {
  EXPECT_THAT(shown({"first", "--output=loss.svg"}), HasSubstr("bytes in loss.svg"));
  EXPECT_THAT(slurp(place_.path("loss.svg")), HasSubstr("</svg>"));
  shown({"first", "--out=loss.html"});
  EXPECT_THAT(slurp(place_.path("loss.html")), HasSubstr("</html>"));
  shown({"first", "--out=loss.md"});
  EXPECT_THAT(slurp(place_.path("loss.md")), HasSubstr("| 100 | 3.5 |"));
  shown({"first", "--out=loss.txt", "--format=json"});
  EXPECT_TRUE(json::accept(slurp(place_.path("loss.txt"))));
  EXPECT_THAT(shown({"first", "--format=markdown"}), HasSubstr("| 100 | 3.5 |"));
}

TEST_F(PlotTest, EndingsAreReadInCapitalsTooAndOtherPicturesAreRefused) {
  shown({"first", "--out=loss.SVG"});
  EXPECT_THAT(slurp(place_.path("loss.SVG")), HasSubstr("</svg>"));
  for (const char* name : {"loss.pdf", "loss.JPEG", "loss.eps"}) {
    const Outcome o = plot({"first", std::string("--out=") + name});
    EXPECT_EQ(o.exit_code, 2) << name;
    EXPECT_THAT(o.err, HasSubstr("no such picture is drawn"));
    EXPECT_FALSE(fs::exists(place_.path(name)));
  }
  shown({"first", "--out=loss.pdf", "--format=svg"});
  shown({"first", "--out=loss.txt"});
}

TEST_F(PlotTest, RunsOfOneNameAreToldApartByWhatWasTyped) {
  fs::create_directories(place_.path("other/first/checkpoints"));
  fs::copy_file(place_.path("runs/fathom.db"), place_.path("other/fathom.db"));
  const json lines = plotted({"first", "other/first", "second"})["lines"];
  EXPECT_EQ(lines[0]["name"], "first");
  EXPECT_EQ(lines[1]["name"], "other/first");
  EXPECT_EQ(lines[2]["name"], "second");
}

TEST_F(PlotTest, ContradictionsAreRefused) {
  const auto refused = [&](const Words& words) {
    return std::string(refusal_of([&] { parse_plot(words); }).what());
  };
  EXPECT_THAT(refused({}), HasSubstr("RUN is missing"));
  EXPECT_THAT(refused({"first", "--json", "--format=svg"}), HasSubstr("two formats"));
  EXPECT_THAT(refused({"first", "--format=png"}), HasSubstr("needs a file"));
  EXPECT_THAT(refused({"first", "--metric= ,"}), HasSubstr("names nothing"));
  EXPECT_THAT(refused({"first", "--format=gif"}), HasSubstr("format"));
}

TEST_F(PlotTest, ManyNamesAreToldByTheirFolders) {
  RunStore store(place_.path("runs/fathom.db"));
  const RunHandle run = store.create_run("many", "e", "");
  fs::create_directories(place_.path("runs/many/checkpoints"));
  std::vector<MetricValue> values = {{"alone", 1.0}, {"train/rate", 1.0}};
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"})
    for (const char* split : {"eval/train/", "eval/val/"})
      values.push_back({std::string(split) + name, 1.0});
  store.add(run, 0, values);
  EXPECT_THAT(plot({"many", "--metric=zzzzzz"}).err,
              HasSubstr("HINT: it has alone; eval/train/, eval/val/: a, b, c, d, e, f, g, h; "
                        "train/: rate\n"));
}

TEST_F(PlotTest, WhatIsNotThereIsNamed) {
  Outcome o = plot({"third"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("third"));
  o = plot({"first", "--metric=eval/val/los"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("no metric \"eval/val/los\""),
                           HasSubstr("did you mean eval/val/loss? it has eval/val/loss, train/l")));
  for (const char* part : {"loss", "Loss", "val/loss"})
    EXPECT_THAT(plot({"first", "--metric=" + std::string(part)}).err,
                HasSubstr("did you mean eval/val/loss"));
  EXPECT_THAT(plot({"first", "--metric=zzzzzz"}).err, HasSubstr("HINT: it has eval/val/loss"));
  for (const char* x : {"--x=seconds", "--x=flops", "--x=tokens"}) {
    o = plot({"first", x});
    EXPECT_EQ(o.exit_code, 2) << x;
    EXPECT_THAT(o.err, AllOf(HasSubstr("the run first has not stored its"), HasSubstr("--x=step")));
  }
  fs::create_directories(place_.path("runs/empty/checkpoints"));
  RunStore(place_.path("runs/fathom.db")).create_run("empty", "e", "");
  o = plot({"empty"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("has no numbers yet"));
}

TEST_F(PlotTest, TokensAreTheConfigurationsWhereNoneWereCounted) {
  make_run("third", "gpt2ish_shakespeare_cpu", "batch_size = 3\nblock_size = 32\n");
  EXPECT_EQ(plotted({"third", "--x=tokens"})["lines"][0]["x"],
            json({0.0, 9600.0, 19200.0, 28800.0, 38400.0}));
  place_.write("runs/third/plan.json", "{}");  // whose stages may have other batches
  const Outcome o = plot({"third", "--x=tokens"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("has not stored its tokens"));
}

TEST_F(PlotTest, WhatWasCountedLiesBetweenTheStepsThatSayIt) {
  RunStore store(place_.path("runs/fathom.db"));
  fs::create_directories(place_.path("runs/fourth/checkpoints"));
  const RunHandle run = store.create_run("fourth", "e", "");
  const auto add = [&](int64_t step, const std::vector<MetricValue>& values) {
    store.add(run, step, values);
  };
  add(0, {{"eval/val/loss", 4}});
  add(10, {{"train/seconds", 5}});
  add(15, {{"eval/val/loss", 3}});
  add(20, {{"train/seconds", 25}, {"eval/val/loss", 2}});
  add(25, {{"eval/val/loss", 1}});
  EXPECT_EQ(plotted({"fourth", "--x=seconds"})["lines"][0]["x"], json({0.0, 15.0, 25.0, nullptr}));
  EXPECT_EQ(plotted({"fourth", "--x=seconds"})["x"]["label"], "seconds");
}

}  // namespace
}  // namespace fathom
