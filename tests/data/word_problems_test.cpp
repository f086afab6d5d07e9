// Problems in words: what is published and what is not one, and the numbers of a text.
#include "fathom/data/word_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/io/files.h"
#include "source_path.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WordProblems, ReadThePublishedForms) {
  const WordProblem own = read_word_problem(R"({"question": "2 and 3?", "answer": "5"})", "x");
  EXPECT_EQ(own, (WordProblem{"2 and 3?", 5}));
  EXPECT_EQ(read_word_problem(R"({"question": "2 and 3?", "answer": 5})", "x"), own);
  EXPECT_EQ(
      read_word_problem(
          R"({"question": "2 and 3?", "answer": "It is #### 4, no: 2+3.\n#### 1,005.50"})", "x")
          .answer,
      1005.5);
  const WordProblem svamp = read_word_problem(
      R"({"ID": "c-1", "Body": "Ann has 2", "Question": "And 3 more?", "Equation": "2.0 + 3.0",)"
      R"( "Answer": 5.0, "Type": "Addition"})",
      "x");
  EXPECT_EQ(svamp, (WordProblem{"Ann has 2 And 3 more?", 5}));
  EXPECT_EQ(read_word_problem(R"({"Question": "-2?", "Answer": "-2"})", "x").answer, -2);
  for (const WordProblem& problem : {own, svamp, WordProblem{"a\n\"b\"", -1.5e-300}})
    EXPECT_EQ(read_word_problem(word_problem_line(problem), "x"), problem);
}

TEST(WordProblems, AnAnswerMayBeMoney) {
  const auto answer = [](const std::string& written) {
    return read_word_problem(nlohmann::json{{"question", "a"}, {"answer", written}}.dump(), "x")
        .answer;
  };
  EXPECT_EQ(answer("$12.50"), 12.5);
  EXPECT_EQ(answer("She has\n#### $1,234"), 1234);
  EXPECT_EQ(answer("1,234"), 1234);
  EXPECT_EQ(answer("\u20ac 7"), 7);
}

TEST(WordProblems, LinesThatAreNoneArePassedOverAndCounted) {
  const std::string good = R"({"question": "a", "answer": 1})", bad = R"({"question": "a"})";
  PassedOver passed;
  EXPECT_EQ(read_word_problems(good + "\n" + bad + "\nnonsense\n\n" + good, "p", 0, &passed).size(),
            2u);
  EXPECT_EQ(passed.lines, 2);
  EXPECT_THAT(passed.first, HasSubstr("p, line 2 has no answer"));
  EXPECT_EQ(read_word_problems(bad + "\n" + good + "\n" + bad, "p", 1, &passed).size(), 1u);
  EXPECT_EQ(passed.lines, 1) << "behind the first so many nothing is read";
  const Error none = caught([&] { read_word_problems(bad + "\n" + bad, "p"); });
  EXPECT_THAT(none.what(), HasSubstr("p has no problems: p, line 1 has no answer"));
  EXPECT_THAT(none.hint(), HasSubstr("\"question\""));
}

TEST(WordProblems, WhatIsWrongIsSaidWithItsLine) {
  const auto said = [](const std::string& line) {
    return std::string(caught([&] { read_word_problems("\n" + line, "p.jsonl"); }).what());
  };
  EXPECT_THAT(said("[1]"), HasSubstr("p.jsonl, line 2 is a list, not an object"));
  EXPECT_THAT(said(R"({"answer": 1})"), HasSubstr("line 2 has neither question nor Question"));
  EXPECT_THAT(said(R"({"question": 7, "answer": 1})"), HasSubstr("question = 7, not a text"));
  EXPECT_THAT(said(R"({"question": " ", "answer": 1})"), HasSubstr("an empty question"));
  EXPECT_THAT(said(R"({"question": "a"})"), HasSubstr("line 2 has no answer"));
  EXPECT_THAT(said(R"({"question": "a", "answer": [1]})"), HasSubstr("answer = a list, not a"));
  for (const char* answer :
       {"", "five", "1 2", "3 pens", "1e3", "####", "1,00", "--1", "$", "$five", "$$1"})
    EXPECT_THAT(said(nlohmann::json{{"question", "a"}, {"answer", answer}}.dump()),
                HasSubstr("not one number"))
        << answer;
  EXPECT_THAT(caught([] { read_word_problems(" \n", "p\x1b.jsonl"); }).what(),
              HasSubstr("p\\x1b.jsonl has no problems"));
  const std::string line = R"({"question": "a", "answer": 1})";
  EXPECT_EQ(read_word_problems(line + "\n" + line + "\nnonsense", "x", 2).size(), 2u);
}

TEST(WordProblems, NumbersAreThoseInDigits) {
  EXPECT_THAT(numbers_in("paid $1,250.50 for -3, not 4."), ElementsAre(1250.5, -3, 4));
  EXPECT_THAT(numbers_in("3-4, (-5) and 6 - -7; x-8"), ElementsAre(3, 4, -5, 6, -7, 8));
  EXPECT_THAT(numbers_in("1,2 and 1,234,567 and 1234,567 and 12,3456"),
              ElementsAre(1, 2, 1234567, 1234, 567, 12, 3456));
  EXPECT_THAT(numbers_in("007.50 .5 2..3 9."), ElementsAre(7.5, 5, 2, 3, 9));
  EXPECT_THAT(numbers_in("none, not - even one"), ElementsAre());
  EXPECT_THAT(numbers_in(std::string(400, '9') + " 1"), ElementsAre(1)) << "no double holds it";
  EXPECT_EQ(first_number(" = 4.0\n5"), 4.0);
  EXPECT_FALSE(first_number("four").has_value());
}

// The 200 that golden/make_word_problems.py makes.
TEST(WordProblems, OfTheTemplatesAreRead) {
  const std::string path = testing::source_path("tests/golden/word_problems.jsonl");
  const auto problems = read_word_problems(read_text_file(path, 1 << 20), path);
  EXPECT_EQ(problems.size(), 200u);
  for (const WordProblem& problem : problems)
    EXPECT_GE(numbers_in(problem.question).size(), 2u) << problem.question;
}

}  // namespace
}  // namespace fathom
