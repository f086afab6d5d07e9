// `fathom plan`: what it prints, and what it finds wrong.
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/cli_testing.h"
#include "fathom/base/lines.h"
#include "fathom/data/corpus.h"
#include "fathom/report/render.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/built_in_plans.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/plan_table.h"
#include "fathom/train/recipe/training_plan.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Outcome;
using testing::Words;
namespace fs = std::filesystem;

constexpr char kPreset[] = "gpt2ish_shakespeare_cpu";

class PlanTest : public testing::CliTest {
 protected:
  // Of windows of 16 characters, four a step.
  Outcome plan(const std::string& text, const Words& more = {}) const {
    place_.write("my_plan.json", text);
    Words words = {"plan",           "my_plan.json",    kPreset,
                   "--dataset=rain", "--block_size=16", "--batch_size=4"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
};

TEST_F(PlanTest, ShowsEveryStage) {
  const Outcome o = plan(R"({"begin": {"dataset": "rain", "steps": 50, "overrides": {"lr": 0.01}},
                             "end": {"tokens": 6400}})",
                         {"--decay_lr=False"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("my_plan.json: 2 stages, for gpt2ish_shakespeare_cpu"));
  EXPECT_THAT(o.out, ::testing::ContainsRegex("begin +rain +[0-9]+ +50 steps +50 +3,200 +0\\.01 "));
  EXPECT_THAT(o.out,
              ::testing::ContainsRegex("end +rain +[0-9]+ +6400 tokens +100 +6,400 +0\\.001 "));
  EXPECT_THAT(o.out, HasSubstr("in all 150 steps, 9,600 tokens"));
  EXPECT_THAT(o.out, HasSubstr("begin: learning_rate = 0.01"));
  EXPECT_THAT(o.err, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(place_.path("runs"))) << "nothing is made";
}

TEST_F(PlanTest, FitsItsWidthHoweverManyDataSets) {
  std::string names;
  for (const char* name : {"rain_on_hills", "rain_on_plains", "rain_at_sea"}) {
    prepare_text(name);
    names += (names.empty() ? "" : ",") + std::string(name);
  }
  const Outcome o =
      plan(R"({"wet": {"dataset": ")" + names + R"(", "steps": 50}})", {"--decay_lr=False"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("evaluations\n"),
                           ::testing::ContainsRegex(
                               "wet +rain_on_hills, rain_on_plains, rain_at_sea +[0-9]+ +50 ")))
      << "one line where there is no terminal";

  const testing::Settings settings = {
      {"dataset", "rain"}, {"block_size", "16"}, {"batch_size", "4"}, {"decay_lr", "False"}};
  PlanReport report;
  report.preset = kPreset;
  report.plan = find_plan(place_.path("my_plan.json"), kPreset).plan;
  report.stages = look_over(report.plan, testing::resolved(kPreset, settings).config).stages;
  report::Report table;
  table.add(stage_table(report));
  const std::string shown = report::render_terminal(table, {80, false});
  for (const std::string_view line : split(shown, '\n')) EXPECT_LE(text_width(line), 80) << line;
  EXPECT_THAT(shown, AllOf(HasSubstr("rain_on_hills"), HasSubstr("rain_at_sea"),
                           HasSubstr("Not shown for want of width: evaluations.")));
}

TEST_F(PlanTest, WideNamesStandInTheirColumns) {
  prepare_text("日本");
  const Outcome o = plan(R"({"a": {"dataset": "日本", "steps": 50}, "b": {"steps": 50}})");
  EXPECT_EQ(o.exit_code, 0) << o.err;
  std::set<int> columns;
  std::istringstream lines(o.out);
  for (std::string line; std::getline(lines, line);)
    if (const size_t at = line.find(" 50 steps  "); at != std::string::npos)
      columns.insert(text_width(line.substr(0, at)));
  EXPECT_EQ(columns.size(), 1U) << o.out;
}

TEST_F(PlanTest, AsJson) {
  const Outcome o = plan(R"({"a": {"steps": 50}, "b": {"minutes": 2}})", {"--json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const json report = json::parse(o.out);
  EXPECT_EQ(report["plan"], "my_plan.json");
  EXPECT_EQ(report["preset"], kPreset);
  ASSERT_EQ(report["stages"].size(), 2U);
  EXPECT_EQ(report["stages"][0]["name"], "a");
  EXPECT_EQ(report["stages"][0]["steps"], 50);
  EXPECT_EQ(report["stages"][0]["tokens"], 50 * 64);
  EXPECT_EQ(report["stages"][0]["data"][0]["name"], "rain");
  EXPECT_EQ(report["stages"][1]["steps"], nullptr) << "minutes are no steps";
  EXPECT_EQ(report["steps"], nullptr);
  EXPECT_THAT(report["mistakes"], IsEmpty());
}

// A row with the columns of all of them stands for their files.
TEST_F(PlanTest, WhatItSaysOfMissingDataCanBeTyped) {
  std::string rows;
  for (int i = 0; i < 12; ++i)
    rows += R"({"text": "a text", "title": "its title", "system_prompt": "be brief",)"
            R"( "question": "why", "response": "so", "answer": "so", "messages":)"
            R"( [{"role": "user", "content": "why"}, {"role": "assistant", "content": "so"}]})"
            "\n";
  fs::create_directories(place_.path("FOLDER"));
  place_.write("FOLDER/a.jsonl", rows);
  place_.write("FILE.parquet", rows);
  const std::set<std::string> with_answers = {"openorca", "orcamathword200", "smoltalk"};
  for (const PublishedData& data : published_data()) {
    if (find_known_corpus(data.corpus) != nullptr) continue;
    const std::string hint = plan(R"({"a": {"dataset": ")" + data.corpus + R"("}})").err;
    const size_t begin = hint.find("`fathom ") + 8, end = hint.find('`', begin);
    ASSERT_NE(end, hint.npos) << hint;
    std::istringstream line(hint.substr(begin, end - begin));
    Words words;
    for (std::string word; line >> word;)
      if (word != "--tokenizer=gpt2") words.push_back(word);  // whose vocabulary is not here
    words.insert(words.end(), {"--tokenizer=byte", "--val_fraction=0.3"});
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << hint << o.err;
    EXPECT_EQ(Corpus::open(data.corpus).has_rows(), with_answers.count(data.corpus) > 0);
  }
}

TEST_F(PlanTest, TellsAllMistakesAtOnce) {
  const std::string wrong = R"({"a": {"dataset": "rian"}, "b": {"dataset": "openorca"},
                                "c": {"steps": 5, "overrides": {"freeze": "nothing.like.it"}}})";
  const Outcome o = plan(wrong);
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("the stage a: the data \"rian\" is not prepared"),
                           HasSubstr("HINT: did you mean rain?"),
                           HasSubstr("HINT: download Open-Orca/OpenOrca"),
                           HasSubstr("the stage c: "), HasSubstr("nothing.like.it")));
  EXPECT_THAT(o.out, ::testing::ContainsRegex("openorca .missing. +\\?"));
  const Outcome as_json = plan(wrong, {"--json"});
  EXPECT_EQ(as_json.exit_code, 2);
  EXPECT_EQ(json::parse(as_json.out)["mistakes"].size(), 3U);
}

TEST_F(PlanTest, TrainingRefusesWhatItWouldRefuse) {
  place_.write("my_plan.json",
               R"({"a": {"dataset": "rain", "steps": 5}, "b": {"dataset": "sea"}})");
  const Outcome o = run({"train", kPreset, "--block_size=16", "--training-plan", "my_plan.json"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("the stage b: the data \"sea\" is not prepared"),
                           HasSubstr("HINT: `fathom prepare FILE --name=sea`")));
  EXPECT_FALSE(std::filesystem::exists(place_.path("runs")));
}

TEST_F(PlanTest, FilesAndNamesThatAreNoPlans) {
  const Outcome none = run({"plan", "my_plam.json"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("neither a file nor a built-in training plan \"my_plam.json\""));
  EXPECT_EQ(run({"plan"}).exit_code, 2);
  const Outcome damaged = plan("{\"a\": ");
  EXPECT_EQ(damaged.exit_code, 2);
  EXPECT_THAT(damaged.err, AllOf(HasSubstr("my_plan.json is not JSON"), HasSubstr("HINT: a plan")));
  const Outcome other = run({"plan", "my_plan.json", "gpt2isch"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("did you mean gpt2ish?"));
}

TEST_F(PlanTest, AnExperimentMayBeLeftOutAndCheckMayBeSaid) {
  place_.write("my_plan.json", R"({"a": {"dataset": "rain", "steps": 5}})");
  for (const Words& words : {Words{"plan", "my_plan.json", "--block_size=16"},
                             {"plan", "check", "my_plan.json", "--block_size=16"}}) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr("no EXPERIMENT is named: this is for gpt2ish_shakespeare_cpu"));
  }
}

TEST_F(PlanTest, ListsTheBuiltInOnes) {
  const Outcome o = run({"plan", "list"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  for (const BuiltInPlan& built_in : built_in_plans())
    EXPECT_THAT(o.out, HasSubstr(built_in.plan.name + (built_in.is_ours ? " *: " : ": ")));
  EXPECT_THAT(o.out, HasSubstr("not prepared: tinystories, wiki_en, wiki_es, smoltalk"));
  const json listed = json::parse(run({"plan", "list", "--json"}).out);
  EXPECT_GT(listed.size(), built_in_plans().size()) << "experiments ship some";
  EXPECT_EQ(listed[0]["name"], "default");
  EXPECT_EQ(listed[0]["missing"].size(), 4U);
  prepare_text("tinystories");
  for (const json& plan : json::parse(run({"plan", "list", "--json"}).out))
    // What trains on generated numbers lacks nothing.
    EXPECT_EQ(plan["missing"].empty(), plan["name"] == "tinystories" ||
                                           plan["name"] == "predictor_then_blocks" ||
                                           plan["name"] == "predictor_then_model")
        << plan["name"];
  EXPECT_EQ(run({"plan", "tinystories", kPreset, "--block_size=16"}).exit_code, 0);
}

TEST_F(PlanTest, EveryBuiltInOneSaysWhatToDownload) {
  for (const BuiltInPlan& built_in : built_in_plans()) {
    const Outcome o = run({"plan", built_in.plan.name});
    EXPECT_EQ(o.exit_code, 2) << built_in.plan.name;
    EXPECT_THAT(o.err, AllOf(HasSubstr("is not prepared"), HasSubstr("HINT: download "),
                             HasSubstr("`fathom prepare "), HasSubstr(" --name=")))
        << built_in.plan.name;
    EXPECT_THAT(o.err, Not(HasSubstr("://")));
  }
}

TEST_F(PlanTest, WhatDoesNotFitTheMachineIsTold) {
  const Outcome o = plan(R"({"a": {"steps": 5}, "b": {"steps": 5}})",
                         {"--n_embd=1048576", "--n_head=1", "--n_layer=1000"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("the stage a: "));
  EXPECT_THAT(o.err, HasSubstr("do not fit"));
}

}  // namespace
}  // namespace fathom
