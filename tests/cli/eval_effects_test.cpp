// Every option of `fathom eval` changes something; what they do to numbers: e2e/train_test.cpp.
#include "cli/effects_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/eval/request.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::Words;
namespace fs = std::filesystem;

class EvalEffects : public testing::EffectsTest {
 protected:
  static void make_checkpoints() {
    for (const char* name : {"best", "last"})
      testing::save_state("old", name, testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30));
  }
  void eval_effects();
  void problem_effects();
  void numbers_effects();
};

void EvalEffects::problem_effects() {
  const auto asked = [=](const Words& more) {
    make_checkpoints();
    const std::string line = "{\"question\": \"2 and 3?\", \"answer\": \"5\"}\n";
    place_.write("problems.jsonl", line + "nonsense\n" + line);
    Words words = {"old", "--problems=" + place_.path("problems.jsonl").string()};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_eval(words);
  };
  const auto refused_alone = [](const std::string& word) {
    EXPECT_THAT(testing::refusal_of([&] {
                  parse_eval({"old", word});
                }).hint(),
                HasSubstr("--problems"));
  };
  effects_["eval problems"] = [=] {
    EXPECT_EQ(asked({}).problems.size(), 2u);
    EXPECT_EQ(asked({"--examples=1"}).problems.size(), 1u);
    EXPECT_EQ(asked({}).no_problems.lines, 1);
    EXPECT_THAT(testing::refusal_of([&] { asked({"--value_range=[-1,1]"}); }).what(),
                HasSubstr("problems is a file of its own, and value_range is of a corpus"));
    EXPECT_THAT(testing::refusal_of([&] { asked({"--hellaswag=problems.jsonl"}); }).what(),
                HasSubstr("two files"));
  };
  effects_["eval prompt_end"] = [=] {
    EXPECT_EQ(asked({}).prompt_end, "\nAnswer:");
    EXPECT_EQ(asked({"--prompt_end= = "}).prompt_end, " = ");
    refused_alone("--prompt_end=x");
  };
  effects_["eval answer_tokens"] = [=] {
    EXPECT_EQ(asked({"--answer_tokens=5"}).answer_tokens, 5);
    refused_alone("--answer_tokens=5");
  };
}

// What is generated is as it was trained but for what is given.
void EvalEffects::numbers_effects() {
  const auto asked = [=](const std::string& word) {
    RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    state.config.data.dataset = "numbers";
    state.config.data.numbers.english_rate = 0.75;
    state.config.data.numbers.stream_share = 0.5;
    testing::save_state("counted", "last", state);
    EXPECT_FALSE(parse_eval({"counted"})->numbers.has_value());
    const auto request = parse_eval({"counted", word});
    EXPECT_EQ(request->numbers_given.size(), 1u);
    EXPECT_THAT(request->notices, ::testing::IsEmpty());
    return *request->numbers;
  };
  effects_["eval value_range"] = [=] {
    const NumbersConfig numbers = asked("--value_range=[-1000,1000]");
    EXPECT_EQ(numbers.value_range, (std::vector<double>{-1000, 1000}));
    EXPECT_EQ(numbers.english_rate, 0.75);
    EXPECT_ANY_THROW(asked("--value_range=[1,-1]"));
  };
  // The run's own are 4 deep.
  effects_["eval numbers_depth"] = [=] {
    EXPECT_EQ(asked("--numbers_depth=7").depth, 7);
    EXPECT_THAT(testing::refusal_of([&] { asked("--max_operations=5"); }).hint(),
                HasSubstr("--numbers_depth"));
  };
  effects_["eval max_decimal_places"] = [=] {
    EXPECT_EQ(asked("--max_decimal_places=1").max_decimals, 1);
  };
  effects_["eval max_digits"] = [=] { EXPECT_EQ(asked("--max_digits=3").max_digits, 3); };
  effects_["eval min_operations"] = [=] {
    EXPECT_EQ(asked("--min_operations=3").min_operations, 3);
  };
  effects_["eval max_operations"] = [=] {
    EXPECT_EQ(asked("--max_operations=2").max_operations, 2);
  };
  effects_["eval number_operations"] = [=] {
    EXPECT_EQ(asked("--number_operations=add").operations, "add");
  };
  effects_["eval english_conversion_rate"] = [=] {
    EXPECT_EQ(asked("--english_conversion_rate=0").english_rate, 0);
  };
  effects_["eval shuffle_labels"] = [=] { EXPECT_TRUE(asked("--shuffle_labels").shuffle_labels); };
  effects_["eval stream_share"] = [=] { EXPECT_EQ(asked("--stream_share=1").stream_share, 1); };
  effects_["eval stream_labels"] = [=] {
    EXPECT_TRUE(asked("--stream_labels").stream_labels);
    EXPECT_THAT(parse_eval({"counted", "--stream_share=0", "--stream_labels"})->notices,
                ::testing::ElementsAre(HasSubstr("it needs stream_share above 0")));
  };
  effects_["eval evaluation_size"] = [=] {
    EXPECT_EQ(asked("--evaluation_size=10").evaluation_size, 10);
  };
}

// A model that learned programs alone has nothing to say of data without labels.
TEST_F(EvalEffects, APredictorIsAskedForPrograms) {
  RunState state = testing::saved_state("dag_predictor_small", "rain", 30);
  state.config.data.dataset = "numbers";
  testing::save_state("reader", "last", state);
  EXPECT_TRUE(parse_eval({"reader"}));
  const auto refused = [](const char* word) {
    return std::string(testing::refusal_of([&] { parse_eval({"reader", word}); }).what());
  };
  EXPECT_THAT(refused("--stream_share=1"), HasSubstr("stream_share = 1"));
  EXPECT_THAT(refused("--dataset=rain"), HasSubstr("dataset = \"rain\""));
}

void EvalEffects::eval_effects() {
  const auto chosen = [](const std::string& folder) { return fs::path(folder).filename(); };
  effects_["eval checkpoint"] = [=] {
    make_checkpoints();
    EXPECT_EQ(chosen(parse_eval({"old"})->model.folder), "best");
    EXPECT_EQ(chosen(parse_eval({"old", "--checkpoint=last"})->model.folder), "last");
    fs::remove_all(place_.path("runs/old/checkpoints/best"));
    EXPECT_EQ(chosen(parse_eval({"old"})->model.folder), "last");
  };
  effects_["eval format"] = [=] {
    make_checkpoints();
    EXPECT_EQ(parse_eval({"old", "--format=svg"})->output.format, report::Format::kSvg);
  };
  const auto looped = [=] {
    testing::save_state("round", "last", testing::saved_state("looped_tiny", "rain", 30));
  };
  effects_["eval loops"] = [=] {
    looped();
    EXPECT_EQ(parse_eval({"round", "--loops=1,5"})->loops.size(), 2U);
  };
  effects_["eval evaluations"] = [=] {
    looped();
    EXPECT_EQ(parse_eval({"round", "--evaluations=val"})->evaluations, "val");
  };
  effects_["eval policy"] = [=] {
    make_checkpoints();
    EXPECT_EQ(parse_eval({"old", "--policy=halt_rule=kl"})->model.policy, "halt_rule=kl");
    EXPECT_ANY_THROW(parse_eval({"old", "--policy=eval_layers=24"})) << "its layers share nothing";
  };
  const auto asked = [=](const Words& more) {
    make_checkpoints();
    const std::string line = "{\"ctx\": \"a\", \"endings\": [\"b\", \"c\"], \"label\": 0}\n";
    place_.write("asked.jsonl", line + line);
    Words words = {"old", "--hellaswag=" + place_.path("asked.jsonl").string()};
    words.insert(words.end(), more.begin(), more.end());
    return parse_eval(words)->choices.size();
  };
  effects_["eval hellaswag"] = [=] {
    EXPECT_EQ(asked({}), 2u);
    EXPECT_THAT(testing::refusal_of([&] { asked({"--split=train"}); }).what(),
                HasSubstr("hellaswag is a file of its own, and split is of a corpus"));
  };
  effects_["eval examples"] = [=] {
    EXPECT_EQ(asked({"--examples=1"}), 1u);
    EXPECT_THAT(testing::refusal_of([&] {
                  parse_eval({"old", "--examples=1"});
                }).hint(),
                HasSubstr("--hellaswag"));
  };
  problem_effects();
  numbers_effects();
  effects_["eval output"] = [=] {
    make_checkpoints();
    EXPECT_EQ(parse_eval({"old", "--out=x.md"})->output.format, report::Format::kMarkdown);
  };
}

TEST_F(EvalEffects, EachOptionChangesSomething) {
  eval_effects();
  expect_all([](const std::string& verb) { return verb == "eval"; });
}

}  // namespace
}  // namespace fathom
