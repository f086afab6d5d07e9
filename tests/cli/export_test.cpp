// `fathom export`: a run's numbers as other programs read them.
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/cli_testing.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Outcome;
using testing::slurp;
using testing::Words;
namespace fs = std::filesystem;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class ExportTest : public testing::CliTest {
 protected:
  struct Step {
    int64_t step;
    std::vector<MetricValue> values;
  };
  // A run with a folder and these numbers, below `root`.
  void make_run(const std::string& name, const std::vector<Step>& steps,
                const std::string& root = "runs") const {
    fs::create_directories(place_.path(root + "/" + name + "/checkpoints"));
    RunStore store(place_.path(root + "/fathom.db"));
    const RunHandle run = store.create_run(name, "e", "");
    for (const Step& step : steps) store.add(run, step.step, step.values);
  }
  void make_first() const {
    make_run("first", {{1, {{"train/loss", 4.5}, {"train/learning_rate", 0.001}}},
                       {10, {{"train/loss", 2.25}}},
                       {9, {{"eval/val/loss", 3}}}});
  }
  // What is printed for `first`.
  std::string exported(const std::string& format, const std::string& name = "first") const {
    const Outcome o = run({"export", name, "--metrics=" + format});
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_EQ(o.err, "");
    return o.out;
  }
};

TEST_F(ExportTest, CsvHasARowAStep) {
  make_first();
  EXPECT_EQ(exported("csv"),
            "step,eval/val/loss,train/learning_rate,train/loss\n"
            "1,,0.001,4.5\n"
            "9,3,,\n"
            "10,,,2.25\n");
}

TEST_F(ExportTest, JsonlHasAnObjectAStep) {
  make_first();
  EXPECT_EQ(exported("jsonl"),
            "{\"step\":1,\"train/learning_rate\":0.001,\"train/loss\":4.5}\n"
            "{\"step\":9,\"eval/val/loss\":3}\n"
            "{\"step\":10,\"train/loss\":2.25}\n");
}

TEST_F(ExportTest, NumbersComeBackBitForBit) {
  const std::vector<double> numbers = {0.1,
                                       -1.0 / 3.0,
                                       1e308,
                                       1e-5,
                                       123456789012345680.0,
                                       std::numeric_limits<double>::denorm_min(),
                                       std::numeric_limits<double>::lowest(),
                                       6.02214076e23};
  std::vector<Step> steps;
  for (size_t i = 0; i < numbers.size(); ++i)
    steps.push_back({static_cast<int64_t>(i), {{"x", numbers[i]}}});
  make_run("first", steps);
  const std::vector<std::string> csv = lines_of(exported("csv"));
  const std::vector<std::string> jsonl = lines_of(exported("jsonl"));
  ASSERT_EQ(csv.size(), numbers.size() + 1);
  ASSERT_EQ(jsonl.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double from_csv = std::strtod(csv[i + 1].c_str() + csv[i + 1].find(',') + 1, nullptr);
    EXPECT_EQ(std::memcmp(&from_csv, &numbers[i], sizeof from_csv), 0) << csv[i + 1];
    const auto from_json = json::parse(jsonl[i])["x"].get<double>();
    EXPECT_EQ(from_json, numbers[i]) << jsonl[i];
  }
}

TEST_F(ExportTest, WhatIsNoNumberIsAWord) {
  make_run("first", {{1, {{"a", kNaN}, {"b", kInfinity}, {"c", -kInfinity}, {"d", 1}}}});
  EXPECT_EQ(exported("csv"), "step,a,b,c,d\n1,NaN,Infinity,-Infinity,1\n");
  EXPECT_EQ(exported("jsonl"),
            "{\"step\":1,\"a\":\"NaN\",\"b\":\"Infinity\",\"c\":\"-Infinity\",\"d\":1}\n");
  EXPECT_THAT(run({"export", "--help"}).out, HasSubstr("in jsonl as a string"));
}

TEST_F(ExportTest, NamesAreQuotedWhereTheyMustBe) {
  make_run("first",
           {{1, {{"a,b", 1}, {"say \"x\"", 2}, {"two\nlines", 3}, {"gr\xC3\xBC\xC3\x9F", 4}}}});
  EXPECT_EQ(exported("csv"),
            "step,\"a,b\",gr\xC3\xBC\xC3\x9F,\"say \"\"x\"\"\",\"two\nlines\"\n1,1,4,2,3\n");
  const json object = json::parse(exported("jsonl"));
  EXPECT_EQ(object["a,b"], 1);
  EXPECT_EQ(object["say \"x\""], 2);
  EXPECT_EQ(object["two\nlines"], 3);
  EXPECT_EQ(object["gr\xC3\xBC\xC3\x9F"], 4);
}

TEST_F(ExportTest, NameThatIsNotUtf8IsStillJson) {
  make_run("first", {{1, {{"a\xFF", 1}}}});
  EXPECT_EQ(json::parse(exported("jsonl"))["a\xEF\xBF\xBD"], 1);
}

TEST_F(ExportTest, OutputIsReplacedOnceComplete) {
  make_first();
  place_.write("first.csv", "old");
  const Outcome o = run({"export", "first", "--metrics", "csv", "--output", "first.csv"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(o.out, "first.csv: 3 steps, 3 metrics of the run first\n");
  EXPECT_EQ(slurp(place_.path("first.csv")), exported("csv"));

  make_run("empty", {});
  EXPECT_EQ(run({"export", "empty", "--metrics=csv", "--output=first.csv"}).exit_code, 1);
  EXPECT_EQ(slurp(place_.path("first.csv")), exported("csv")) << "a failure leaves it alone";
  for (const auto& entry : fs::directory_iterator(place_.path("")))
    EXPECT_EQ(entry.path().filename().string().find(".first.csv"), std::string::npos);
}

TEST_F(ExportTest, APathIsShownAndNotObeyed) {
  make_first();
  const Outcome o = run({"export", "first", "--metrics=csv", "--output=a\x1b[31m\xe9.csv"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(o.out, "a\\x1b[31m\\xe9.csv: 3 steps, 3 metrics of the run first\n");
}

TEST_F(ExportTest, RunMayBeAFolder) {
  make_first();
  make_run("far", {{1, {{"a", 1}}}}, "elsewhere");
  for (const std::string& folder :
       {std::string("runs/first"), std::string("runs/first/"), place_.path("runs/first").string()})
    EXPECT_EQ(exported("csv", folder), exported("csv"));
  EXPECT_EQ(exported("csv", "elsewhere/far/"), "step,a\n1,1\n") << "with the store beside it";
}

// A training that goes on is not disturbed, and its rows are whole.
TEST_F(ExportTest, RunningRunIsExportedAsItStands) {
  make_first();
  const RunFolder held = RunFolder::open(place_.path("runs/first"));
  const RunStore open(place_.path("runs/fathom.db"));
  EXPECT_EQ(lines_of(exported("csv")).size(), 4u);
  EXPECT_EQ(open.find("first")->status, RunStatus::kRunning);
}

// Nobody holds its folder: whoever trained it is no more.
TEST_F(ExportTest, AKilledRunIsCalledSo) {
  make_first();
  EXPECT_EQ(lines_of(exported("csv")).size(), 4u);
  EXPECT_EQ(RunStore(place_.path("runs/fathom.db")).find("first")->status, RunStatus::kKilled);
}

TEST_F(ExportTest, ManyStepsAreWrittenInOrder) {
  fs::create_directories(place_.path("runs/long/checkpoints"));
  RunStore store(place_.path("runs/fathom.db"));
  const RunHandle run = store.create_run("long", "e", "");
  for (int64_t step = 1; step <= 2000; ++step)
    store.add(run, step,
              std::vector<MetricValue>{{"a", 1.0 / static_cast<double>(step)}, {"b", 1}});
  const std::vector<std::string> lines = lines_of(exported("csv", "long"));
  ASSERT_EQ(lines.size(), 2001u);
  for (int64_t step = 1; step <= 2000; ++step)
    EXPECT_EQ(lines[static_cast<size_t>(step)].rfind(std::to_string(step) + ",", 0), 0u);
}

// The first line of what is said, and the hint.
struct Refusal {
  Words words;
  int exit_code;
  std::string said, hint;
};

TEST_F(ExportTest, Mistakes) {
  const auto expect = [&](const Refusal& r) {
    const Outcome o = run(r.words);
    EXPECT_EQ(o.exit_code, r.exit_code) << o.err;
    EXPECT_EQ(o.out, "");
    const std::vector<std::string> lines = lines_of(o.err);
    ASSERT_EQ(lines.size(), 2u) << o.err;
    EXPECT_THAT(lines[0], HasSubstr(r.said));
    EXPECT_THAT(lines[1], HasSubstr(r.hint));
  };
  const std::string csv = "--metrics=csv";
  expect({{"export", "first", csv}, 2, "there is no run \"first\"", "train one first"});
  fs::create_directories(place_.path("runs/first/checkpoints"));
  expect({{"export", "first", csv}, 1, "there is no run store", "train a run first"});
  make_run("other", {});
  expect({{"export", "first", csv}, 1, "has no run first", "came from elsewhere"});
  expect({{"export", "other", csv}, 1, "the run other has no numbers yet", "log_interval"});
  expect({{"export", "frist", csv}, 2, "there is no run \"frist\"", "did you mean first?"});
  expect({{"export", "other"}, 2, "metrics is missing", "--metrics=csv"});
  expect({{"export", csv}, 2, "RUN is missing", "fathom export quickstart"});
  expect({{"export", "other", "--metrics=xml"}, 2, "allowed: csv, jsonl", "metrics"});
  expect({{"export", "other", csv, "--ouput=a"}, 2, "--ouput", "--output"});
  expect(
      {{"export", "other", csv, "--output=runs"}, 2, "output = runs is not a regular file", "new"});
  expect({{"export", "other", csv, "--output=/dev/null"}, 2, "/dev/null is not a regular", "new"});
}

TEST_F(ExportTest, OutputThatCannotBeWrittenIsNamed) {
  make_first();
  const Outcome o = run({"export", "first", "--metrics=csv", "--output=no/such/folder/a.csv"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("cannot create no/such/folder/"));
}

}  // namespace
}  // namespace fathom
