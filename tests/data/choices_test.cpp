// Questions with endings to choose from: lines, tokens and batches of them.
#include "fathom/data/choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "errors.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kPublishedLine =
    R"({"ind": 24, "activity_label": "Roof shingle removal", "ctx_a": "A man sits.", "ctx_b": "he",)"
    R"( "ctx": "A man sits. he", "split": "val", "label": 3, "endings": ["a.", "b.", "c.", "d."],)"
    R"( "source_id": "activitynet~v_-JhWjGDPHMY"})";

std::string choice_refusal(const std::string& line) {
  return caught([&] { read_choices("\n" + line, "h.jsonl"); }).what();
}

TEST(Choices, ReadWhatIsPublished) {
  const Choice choice = read_choice(kPublishedLine, "x");
  EXPECT_EQ(choice.context, "A man sits. he");
  EXPECT_THAT(choice.endings, ElementsAre("a.", "b.", "c.", "d."));
  EXPECT_EQ(choice.label, 3u);
  nlohmann::json halves = nlohmann::json::parse(kPublishedLine);
  halves.erase("ctx");
  halves["label"] = "3";  // as in other copies of the data
  EXPECT_EQ(read_choice(halves.dump(), "x"), choice);
  halves["ctx_b"] = "";
  EXPECT_EQ(read_choice(halves.dump(), "x").context, "A man sits.");
  EXPECT_EQ(read_choice(choice_line(choice), "x"), choice);
}

TEST(Choices, AreLines) {
  const std::string line = kPublishedLine;
  EXPECT_EQ(read_choices(line + "\n\n" + line + "\r\n" + line, "x").size(), 3u);
  EXPECT_EQ(read_choices(line + "\n" + line + "\nnonsense", "x", 2).size(), 2u)
      << "behind them nothing is read";
  EXPECT_THAT(caught([] { read_choices(" \n", "h\x1b.jsonl"); }).what(),
              HasSubstr("h\\x1b.jsonl has no questions"));
}

TEST(Choices, WhatIsWrongIsSaidWithItsLine) {
  const auto with = [](const char* key, const nlohmann::json& value) {
    nlohmann::json line = nlohmann::json::parse(kPublishedLine);
    line[key] = value;
    return line.dump();
  };
  for (const auto& [line, said] : std::vector<std::pair<std::string, std::string>>{
           {"{\"ctx\": ", "h.jsonl, line 2"},
           {"[1]", "line 2 is a list, not an object"},
           {"{}", "line 2 has neither ctx nor ctx_a"},
           {with("ctx", 7), "line 2 has ctx = 7, not a text"},
           {with("ctx", ""), "line 2 has an empty context"},
           {with("endings", nullptr), "line 2 has no endings"},
           {with("endings", "a"), "line 2 has endings = \"a\", not a list"},
           {with("endings", nlohmann::json::array({"a"})), "line 2 has 1 ending, it takes 2 to 64"},
           {with("endings", nlohmann::json::array()), "line 2 has 0 endings"},
           {with("endings", nlohmann::json::array({"a", 5})), "line 2 has 5 for its ending 1"},
           {with("endings", nlohmann::json::array({"", "b"})),
            "line 2 has an empty text for its ending 0"},
           {with("label", nullptr), "line 2 has no label"},
           {with("label", ""), "line 2 has label = \"\", of its 4 endings one is 0 to 3"},
           {with("label", 4), "line 2 has label = 4, of its 4 endings one is 0 to 3"},
           {with("label", -1), "label = -1"},
           {with("label", 1.5), "label = 1.5"},
           {with("label", "1x"), "label = \"1x\""},
           {with("label", UINT64_MAX), "label = 18446744073709551615"}})
    EXPECT_THAT(choice_refusal(line), HasSubstr(said)) << line;
}

TEST(Choices, AsTokensShareTheirContext) {
  const auto bytes = make_byte_tokenizer();
  const Choice choice = {"abc", {"d", "ef"}, 0};
  const ChoiceRows whole = choice_rows(*bytes, choice, 5, "x");
  EXPECT_EQ(whole.cut, 0);
  EXPECT_THAT(whole.rows[0].tokens, ElementsAre('a', 'b', 'c', ' ', 'd'));
  EXPECT_THAT(whole.rows[1].tokens, ElementsAre('a', 'b', 'c', ' ', 'e', 'f'));
  EXPECT_EQ(whole.rows[1].ending_at, 3u);
  const ChoiceRows shorter = choice_rows(*bytes, choice, 3, "x");
  EXPECT_EQ(shorter.cut, 2) << "on the left, and for all endings alike";
  EXPECT_THAT(shorter.rows[0].tokens, ElementsAre('c', ' ', 'd'));
  EXPECT_THAT(caught([&] { choice_rows(*bytes, choice, 2, "question 7"); }).what(),
              HasSubstr("question 7: an ending has 3 tokens, and the model sees 2 at once"));
  const auto letters = make_char_tokenizer("abcdef");
  EXPECT_THAT(caught([&] { choice_rows(*letters, choice, 9, "question 7"); }).what(),
              HasSubstr("question 7: "));
}

TEST(Choices, InABatchOnlyEndingsAreTargets) {
  const auto bytes = make_byte_tokenizer();
  const TokenBatch batch = choice_batch(choice_rows(*bytes, {"ab", {"c", "de"}, 0}, 9, "x").rows);
  EXPECT_EQ(batch.B, 2);
  EXPECT_EQ(batch.T, 4);
  EXPECT_THAT(batch.tokens, ElementsAre('a', 'b', ' ', 0, 'a', 'b', ' ', 'd'));
  EXPECT_THAT(batch.targets, ElementsAre(-1, ' ', 'c', -1, -1, ' ', 'd', 'e'))
      << "the first one is predicted by the context's last token";
  ASSERT_NE(batch.find("valid"), nullptr);
  EXPECT_THAT(std::get<WholeNumbers>(batch.find("valid")->values),
              ElementsAre(1, 1, 1, 0, 1, 1, 1, 1));
}

}  // namespace
}  // namespace fathom
