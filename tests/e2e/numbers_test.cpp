// Runs on generated numbers through the programs: training, evaluation with other numbers, problems
// in words, and the programs of a text.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"
#include "fathom/io/program.h"
#include "fathom/io/safetensors.h"

namespace fathom::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class NumbersRuns : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    train("dag_small", "sums");
    train("dag_predictor_small", "reader");
  }
  static void TearDownTestSuite() { delete place_; }

  static void train(const std::string& preset, const std::string& run_name) {
    const Outcome o = place_->run({"train", preset, "--run_name=" + run_name, "--n_layer=1",
                                   "--n_head=2", "--n_embd=16", "--block_size=64", "--batch_size=4",
                                   "--max_iters=4", "--eval_interval=2", "--eval_iters=1",
                                   "--warmup_iters=1", "--lr_decay_iters=None", "--threads=1"});
    ASSERT_EQ(o.exit_code, 0) << o.err;
  }
  static json json_of(Words words) {
    words.emplace_back("--json");
    words.emplace_back("--threads=1");
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.exit_code == 0 ? json::parse(o.out) : json();
  }

  static Workplace* place_;
};
Workplace* NumbersRuns::place_ = nullptr;

TEST_F(NumbersRuns, AreEvaluatedOnOtherNumbers) {
  const json own = json_of({"eval", "reader", "--evaluation_size=20"});
  const json wide =
      json_of({"eval", "reader", "--evaluation_size=20", "--value_range=[-1000,1000]"});
  EXPECT_EQ(own["metrics"].count("op_accuracy"), 1u);
  EXPECT_EQ(own["metrics"].count("op_accuracy_baseline"), 1u);
  EXPECT_NE(own["loss"], wide["loss"]);
  EXPECT_EQ(wide["numbers"].size(), 2u);
  EXPECT_EQ(wide["same_corpus"], false);
  const Outcome o = place_->run({"eval", "reader", "--evaluation_size=20"});
  EXPECT_THAT(o.out, HasSubstr("baseline"));
  EXPECT_THAT(o.out, HasSubstr("op_accuracy"));
}

// What is asked for is deeper than the programs that the model has.
TEST_F(NumbersRuns, AreEvaluatedOnDeeperPrograms) {
  const json own = json_of({"eval", "sums", "--evaluation_size=20"});
  const json deep =
      json_of({"eval", "sums", "--evaluation_size=20", "--numbers_depth=6", "--min_operations=5"});
  EXPECT_EQ(deep["metrics"].count("result_loss"), 1u);
  EXPECT_NE(deep["metrics"]["result_loss"], own["metrics"]["result_loss"]);
  EXPECT_THAT(place_->run({"eval", "sums", "--evaluation_size=20"}).out,
              AllOf(HasSubstr("of results"), Not(HasSubstr("result_loss"))))
      << "told once";
  const Words words = {"eval", "reader", "--evaluation_size=20", "--numbers_depth=6"};
  const Outcome labelled = place_->run(words);
  EXPECT_EQ(labelled.exit_code, 2);
  EXPECT_THAT(labelled.err, HasSubstr("numbers_depth = 6 is above dag_depth = 2"));
  const Outcome idle = place_->run({"eval", "reader", "--stream_share=1"});
  EXPECT_EQ(idle.exit_code, 2);
  EXPECT_THAT(idle.err, HasSubstr("no labels"));
}

TEST_F(NumbersRuns, AnswerProblems) {
  place_->write("problems.jsonl",
                "{\"question\": \"2 and 3?\", \"answer\": \"5\"}\n"
                "{\"question\": \"caf\u00e9?\", \"answer\": \"$1,250\"}\n"
                "{\"question\": \"\", \"answer\": \"five\"}\n"
                "{\"Body\": \"I have 7.\", \"Question\": \"How many?\", \"Answer\": 7.0}\n");
  const json e = json_of(
      {"eval", "sums", "--problems=problems.jsonl", "--prompt_end= = ", "--answer_tokens=4"});
  EXPECT_EQ(e["problems"], 2);
  EXPECT_EQ(e["lines_without_problem"], 1);
  EXPECT_EQ(e["questions_without_tokens"], 1);
  EXPECT_EQ(e["accuracy"]["baselines"]["question_number"], 0.5);
  EXPECT_EQ(e["answers"][1]["truth"], 7);
  EXPECT_EQ(e["answers"][0]["text"].get<std::string>().size(), 4u);
  const Outcome o = place_->run({"eval", "reader", "--problems=problems.jsonl"});
  EXPECT_EQ(o.exit_code, 2) << "it answers no tokens";
}

// What is told of it, and what comes along.
TEST_F(NumbersRuns, APredictorBecomesAPart) {
  const auto given = [](const std::string& name, const Words& more) {
    Words words = {"train",
                   "dag_small_stack",
                   "--initial_part=runs/reader/checkpoints/last",
                   "--run_name=" + name,
                   "--n_layer=1",
                   "--n_head=2",
                   "--n_embd=16",
                   "--block_size=64",
                   "--batch_size=4",
                   "--max_iters=2",
                   "--eval_interval=2",
                   "--eval_iters=1",
                   "--warmup_iters=1",
                   "--lr_decay_iters=None",
                   "--threads=1"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    // Sentences are folded.
    std::string all = o.out;
    std::replace(all.begin(), all.end(), '\n', ' ');
    return all;
  };
  const std::string same = given("same", {});
  EXPECT_THAT(same, HasSubstr("are a part of the model"));
  EXPECT_THAT(same, ::testing::Not(HasSubstr("the predictor chose"))) << "they are made for it";
  EXPECT_THAT(same, HasSubstr("trained with result_digits = 0"));
  EXPECT_THAT(given("other", {"--softmax_temperature=20"}), HasSubstr("the predictor chose"));
  const auto bytes_of = [](const std::string& run, const std::string& name) {
    const auto file =
        SafetensorsFile::open(place_->path("runs/" + run + "/checkpoints/last/model.safetensors"));
    const auto bytes = file.bytes(*file.find(name));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  given("still", {"--dag_take_tables=True", "--freeze=*_table.*", "--predictor_frozen_until=2"});
  for (const char* name : {"token_table.0.weight", "position_table.weight", "dag.op.up.weight"})
    EXPECT_EQ(bytes_of("still", name), bytes_of("reader", name)) << name;
  EXPECT_NE(bytes_of("same", "token_table.0.weight"), bytes_of("reader", "token_table.0.weight"));
  EXPECT_NE(bytes_of("same", "dag.op.up.weight"), bytes_of("reader", "dag.op.up.weight"));
}

TEST_F(NumbersRuns, ShowTheProgramsOfAText) {
  for (const char* name : {"sums", "reader"}) {
    const json shown = json_of({"dag", name, "--text=1.5 plus 2 * 3"});
    ASSERT_EQ(shown["programs"].size(), 1u) << name;
    const json& program = shown["programs"][0];
    EXPECT_EQ(program["token"], std::string(name) == "sums" ? "=" : "\n")
        << "what the run's texts have behind an expression";
    EXPECT_EQ(program["steps"].size(), 2u);
    EXPECT_EQ(program["steps"][1].count("mixed"), std::string(name) == "sums" ? 1u : 0u);
    EXPECT_EQ(shown["written"]["results"], (json{6, 7.5}));
    EXPECT_EQ(json_of({"dag", name, "--text=1.5 plus 2 * 3", "--all"})["programs"].size(), 14u);
  }
  const Outcome beyond = place_->run({"dag", "sums", "--text=1 + 2", "--token=5"});
  EXPECT_EQ(beyond.exit_code, 2);
  EXPECT_THAT(beyond.err, HasSubstr("the text has the tokens 0 to 4"));
  const Outcome story = place_->run({"dag", "sums", "--text=Once upon a time"});
  EXPECT_EQ(story.exit_code, 0) << story.err;
  EXPECT_THAT(story.out, HasSubstr("written: nothing that could be compared"));
  const Outcome strange = place_->run({"dag", "sums", "--text=3 \u00d7 4"});
  EXPECT_EQ(strange.exit_code, 1);
  EXPECT_THAT(strange.err, HasSubstr("--numbers_tokenizer=byte"));
  if (find_program("dot").empty()) GTEST_SKIP() << "Graphviz is not installed";
  const Outcome drawn = place_->run({"dag", "sums", "--text=1 + 2", "--output=program.svg"});
  EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
  EXPECT_THAT(slurp(place_->path("program.svg")), HasSubstr(">step 2<"));
}

}  // namespace
}  // namespace fathom::testing
