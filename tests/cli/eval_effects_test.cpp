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
};

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
