// The generated corpus on the command line.
#include <nlohmann/json.hpp>

#include "cli/cli_testing.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::Words;
namespace fs = std::filesystem;

class NumbersVerbs : public testing::CliTest {};

TEST_F(NumbersVerbs, NothingIsPrepared) {
  const Outcome o = run({"prepare", "numbers", "--tokenizer=gpt2"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("needs no preparation"));
  EXPECT_THAT(o.out, HasSubstr("--dataset=numbers`"));
  EXPECT_THAT(o.err, HasSubstr("tokenizer has no effect: numbers is generated"));
  EXPECT_FALSE(fs::exists(place_.path("data/numbers")));
  EXPECT_TRUE(json::parse(run({"prepare", "numbers", "--json"}).out)["generated"]);
  EXPECT_THAT(run({"prepare", "--help"}).out, HasSubstr("numbers is generated"));
}

TEST_F(NumbersVerbs, ItsNameIsTaken) {
  Outcome o = run({"prepare", "rain.txt", "--name=numbers"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("the name of arithmetic that is generated"));
  place_.write("numbers.txt", "one two three, four five six and so on for a while\n");
  o = run({"prepare", "numbers.txt"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("--name"));
}

TEST_F(NumbersVerbs, ItsVocabularyIsKnown) {
  const Outcome o =
      run({"describe", "gpt2ish_shakespeare_cpu", "--dataset=numbers", "--numbers_depth=3"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, ::testing::ContainsRegex("vocabulary +96\n"));
  EXPECT_THAT(o.out, HasSubstr("numbers_depth = 3"));
  EXPECT_THAT(run({"describe", "gpt2ish_shakespeare_cpu", "--numbers_depth=3"}).out,
              HasSubstr("numbers_depth = 3 has no effect: it needs dataset = numbers"));
}

TEST_F(NumbersVerbs, MistakesAreToldBeforeTheFirstStep) {
  const auto refused = [&](const Words& more) {
    Words words = {"train", "gpt2ish_shakespeare_cpu", "--dataset=numbers"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2) << o.err;
    EXPECT_THAT(o.err, HasSubstr("HINT: "));
    return o.err;
  };
  EXPECT_THAT(refused({"--train_seed=5", "--val_seed=5"}),
              HasSubstr("train_seed = 5 and val_seed = 5 are the same"));
  EXPECT_THAT(refused({"--max_operations=9"}), HasSubstr("max_operations = 9 is above"));
  EXPECT_THAT(refused({"--enable_o_loss=false"}), HasSubstr("enable_o_loss"));
  const Outcome o = run({"train", "gpt2ish_shakespeare_cpu", "--dataset=nubmers"});
  EXPECT_THAT(o.err, HasSubstr("did you mean numbers?"));
}

TEST_F(NumbersVerbs, PlansKnowThatItHasNoEnd) {
  place_.write("p.json", R"({"a": {"dataset": "numbers", "steps": 5}, "b": {"dataset": "rain"}})");
  Outcome o = run({"plan", "p.json", "gpt2ish_shakespeare_cpu", "--block_size=16", "--json"});
  EXPECT_THAT(o.out + o.err, HasSubstr("different tokenizers"));
  place_.write("p.json",
               R"({"a": {"steps": 5}, "b": {"steps": 3, "overrides": {"min_operations": 3}}})");
  const Words words = {
      "plan",  "p.json", "gpt2ish_shakespeare_cpu", "--dataset=numbers", "--block_size=128",
      "--json"};
  o = run(words);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  const json stage = json::parse(o.out)["stages"][1];
  EXPECT_EQ(stage["data"][0]["name"], "numbers");
  EXPECT_TRUE(stage["data"][0]["tokens"].is_null());
  EXPECT_TRUE(stage["is_estimate"]);
  place_.write("p.json", R"({"a": {"epochs": 1}})");
  EXPECT_THAT(run(words).err + run(words).out, HasSubstr("its data has no end"));
}

}  // namespace
}  // namespace fathom
