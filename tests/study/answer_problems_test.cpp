// Answers to problems in words against greedy texts of the model itself.
#include "fathom/study/answer_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/decode/generate.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSigns = 11;

std::unique_ptr<Tokenizer> digits_and_space() {
  return Tokenizer::from_json(nlohmann::json({{"kind", "char"}, {"characters", " 0123456789"}}));
}

TEST(AnswerProblems, AreWhatTheModelWritesGreedily) {
  const auto tokenizer = digits_and_space();
  const auto model = model_of(untied_config(), kSigns, at::kDouble);
  disturb(*model, 0.5);
  const std::vector<WordProblem> problems = {{"12 3", 15}, {"7", 7}, {"1234567", 1}};
  AnswerOptions options;
  options.prompt_end = " ";
  options.answer_tokens = 4;
  const auto answers = answer_problems(*model, *tokenizer, problems, 8, options);
  options.batch_size = 1;
  const auto alone = answer_problems(*model, *tokenizer, problems, 8, options);
  ASSERT_EQ(answers.size(), 3U);
  for (size_t i = 0; i < answers.size(); ++i) {
    GenerateOptions greedy;
    greedy.sampler.greedy = true;
    greedy.max_new_tokens = 4;
    greedy.window.capacity = 8;
    greedy.vocab_size = kSigns;
    std::vector<int64_t> text;
    for (const uint32_t id : tokenizer->encode(problems[i].question + " ")) text.push_back(id);
    std::vector<uint32_t> written;
    generate(*model, {text}, greedy, [&](size_t, int64_t token, int64_t) {
      written.push_back(static_cast<uint32_t>(token));
    });
    EXPECT_EQ(answers[i].text, tokenizer->decode({written.data(), written.size()}));
    EXPECT_EQ(alone[i].text, answers[i].text);
    EXPECT_EQ(answers[i].given, first_number(answers[i].text));
    EXPECT_EQ(answers[i].truth, problems[i].answer);
  }
  EXPECT_EQ(answers[0].asked, (std::vector<double>{12, 3}));
  EXPECT_FALSE(answers[0].is_cut) << "5 tokens and the first 3 of the answer";
  EXPECT_TRUE(answers[2].is_cut);
}

TEST(AnswerProblems, QuestionsThatTheVocabularyLacksAreCounted) {
  const auto tokenizer = digits_and_space();
  PassedOver unreadable;
  const auto readable = readable_problems(
      *tokenizer, {{"1", 1}, {"caf\u00e9", 1, "p, line 2"}, {"2", 2}, {"x", 3}}, " ", unreadable);
  EXPECT_EQ(readable, (std::vector<WordProblem>{{"1", 1}, {"2", 2}}));
  EXPECT_EQ(unreadable.lines, 2);
  EXPECT_THAT(unreadable.first, HasSubstr("p, line 2: "));
  EXPECT_THAT(error_of([&] {
                readable_problems(*tokenizer, {{"x", 1}, {"y", 1}}, " ", unreadable);
              }),
              HasSubstr("problem 1: "));
}

TEST(AnswerProblems, AQuestionWithoutTokensIsNamed) {
  const auto model = model_of(untied_config(), kSigns, at::kDouble);
  EXPECT_THAT(error_of([&] {
                answer_problems(*model, *digits_and_space(), {{"1", 1}, {"one", 1}}, 8, {});
              }),
              HasSubstr("problem 2: "));
  EXPECT_THAT(
      error_of([&] {
        answer_problems(*model, *digits_and_space(), {{"one", 1, "p.jsonl, line 3"}}, 8, {});
      }),
      HasSubstr("p.jsonl, line 3: "));
}

}  // namespace
}  // namespace fathom::testing
