#include "fathom/data/numbers/english.h"

#include <array>
#include <cmath>
#include <map>

#include "data/numbers/numbers_testing.h"

namespace fathom {
namespace {

using testing::caught;
using testing::Draws;
using ::testing::HasSubstr;
using testing::random_program;

// Of a text in any wording, in signs.
std::string in_signs(const std::string& text) {
  return to_text(from_english(text));
}

TEST(English, SpellsNumbers) {
  const std::pair<uint64_t, const char*> cases[] = {
      {0, "zero"},
      {7, "seven"},
      {10, "ten"},
      {13, "thirteen"},
      {20, "twenty"},
      {21, "twenty-one"},
      {100, "one hundred"},
      {105, "one hundred and five"},
      {999, "nine hundred and ninety-nine"},
      {1000, "one thousand"},
      {1005, "one thousand and five"},
      {1100, "one thousand, one hundred"},
      {1234, "one thousand, two hundred and thirty-four"},
      {10000, "ten thousand"},
      {1'000'000, "one million"},
      {2'000'080, "two million and eighty"},
      {999'999'999'999'999'999,
       "nine hundred and ninety-nine quadrillion, nine hundred and ninety-nine trillion, "
       "nine hundred and ninety-nine billion, nine hundred and ninety-nine million, "
       "nine hundred and ninety-nine thousand, nine hundred and ninety-nine"}};
  for (const auto& [number, words] : cases) {
    EXPECT_EQ(cardinal(number), words);
    EXPECT_EQ(in_signs(words), std::to_string(number));
  }
  EXPECT_THAT(caught([] { cardinal(1'000'000'000'000'000'000); }).what(), HasSubstr("10^18"));
  EXPECT_EQ(number_words({-307, 2}), "negative three point zero seven");
  EXPECT_EQ(number_words({40, 1}), "four point zero");
  EXPECT_EQ(number_words({4, 0}), "four");
  EXPECT_EQ(number_words({-5, 3}), "negative zero point zero zero five");
}

TEST(English, NumbersInWordsReadBack) {
  for (uint64_t number = 0; number < 3000; ++number)
    ASSERT_EQ(in_signs(cardinal(number)), std::to_string(number));
  Draws draws(21);
  for (int i = 0; i < 3000; ++i) {
    const auto number = static_cast<uint64_t>(std::pow(10, 18 * draws()));
    ASSERT_EQ(in_signs(cardinal(number)), std::to_string(number));
  }
}

TEST(English, IsWordedAsTheDrawsSay) {
  const std::vector<ExpressionToken> tokens = expression_tokens("7.05 * (12 - 3.4)");
  const auto worded = [&](std::vector<double> numbers) {
    size_t next = 0;
    return in_english(tokens, 0.3, [&] { return numbers.at(next++); });
  };
  // The operators take a second draw each.
  const EnglishText words = worded({0.1, 0.2, 0.6, 0, 0, 0.3, 0});
  EXPECT_EQ(words.text, "seven point zero five times ( twelve minus three point four )");
  EXPECT_EQ(words.wording, Wording::kWords);
  EXPECT_EQ(words.text.substr(0, words.last_operand_end),
            "seven point zero five times ( twelve minus three point four");
  const EnglishText mixed = worded({0.3, 0.2, 0.7, 0, 0.9, 0.1});
  EXPECT_EQ(mixed.text, "7.05 multiplied by ( twelve - three point four )");
  EXPECT_EQ(mixed.wording, Wording::kMixed);
  const EnglishText signs = worded({0.3, 0.4, 0.5, 0.6, 0.7});
  EXPECT_EQ(signs.text, "7.05 * (12 - 3.4)");
  EXPECT_EQ(signs.wording, Wording::kSymbols);
  EXPECT_EQ(signs.text.substr(0, signs.last_operand_end), "7.05 * (12 - 3.4");
}

TEST(English, ReadsBackAtAnyRate) {
  Draws draws(22);
  for (int i = 0; i < 10000; ++i) {
    const std::vector<ExpressionToken> tokens = expression_of(random_program(draws, 6, 1 + i % 6));
    const double rate = (i % 5) / 4.0;
    const EnglishText english = in_english(tokens, rate, std::ref(draws));
    ASSERT_EQ(from_english(english.text), tokens) << english.text;
    const bool has_digits = english.text.find_first_of("0123456789") != std::string::npos;
    const bool has_signs = has_digits || english.text.find_first_of("+*/") != std::string::npos;
    if (rate == 0) {
      ASSERT_EQ(english.wording, Wording::kSymbols);
      ASSERT_EQ(english.text, to_text(tokens));
    } else if (rate == 1) {
      ASSERT_EQ(english.wording, Wording::kWords);
      ASSERT_FALSE(has_signs) << english.text;
    }
    // What is cut off behind the last number closes parentheses.
    ASSERT_EQ(english.text.find_first_not_of(" )", english.last_operand_end), std::string::npos);
    ASSERT_NE(english.text[english.last_operand_end - 1], ' ');
  }
}

TEST(English, OperatorsHaveTheirWordsAsOftenAsTheyShould) {
  Draws draws(23);
  std::map<std::string, int> counts;
  const int n = 3000;
  for (const char* sign : {"+", "-", "*", "/"})
    for (int i = 0; i < n; ++i) {
      const std::vector<ExpressionToken> tokens =
          expression_tokens(std::string("1 ") + sign + " 2");
      const std::string text = in_english(tokens, 1, std::ref(draws)).text;
      ++counts[text.substr(4, text.size() - 8)];
    }
  const std::map<std::string, double> expected = {
      {"plus", n / 2.}, {"added to", n / 2.},  {"minus", n / 3.},         {"subtract", n / 3.},
      {"less", n / 3.}, {"times", 2 * n / 3.}, {"multiplied by", n / 3.}, {"divided by", n / 3.},
      {"over", n / 3.}, {"divide by", n / 3.}};
  ASSERT_EQ(counts.size(), expected.size());
  // 4.5 standard deviations: of 10 counts one is so far off once in ten thousand seeds.
  for (const auto& [words, count] : expected)
    EXPECT_NEAR(counts[words], count, 4.5 * std::sqrt(count * (1 - count / n))) << words;
}

TEST(English, TranslatesTheShareThatItIsAsked) {
  Draws draws(24);
  const std::vector<ExpressionToken> tokens = expression_tokens("1 + 2");
  const int n = 5000;
  int digits = 0;
  for (int i = 0; i < n; ++i)
    for (const char c : in_english(tokens, 0.3, std::ref(draws)).text)
      digits += c == '1' || c == '2';
  EXPECT_NEAR(digits, 0.7 * 2 * n, 4.5 * std::sqrt(2 * n * 0.3 * 0.7));
}

TEST(English, OtherWordingsWithOneMeaningAreRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"Twenty one - negative 3", "21 - -3"},
      {"twenty - one", "20 - 1"},
      {"twenty-one", "21"},
      {"ONE THOUSAND TWO HUNDRED THIRTY FOUR", "1234"},
      {"one thousand and two hundred", "1200"},
      {"one hundred thousand and five plus one", "100005 + 1"},
      {"two hundred and five thousand , six", "205006"},
      {"(negative four)less(-4)", "(-4) - (-4)"},
      {"3 less negative zero point five", "3 - -0.5"},
      {"negative zero", "0"},
      {"zero point zero", "0.0"},
      {"three point four five over 2", "3.45 / 2"},
      {"1 added to 2 divide by three", "1 + 2 / 3"}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(in_signs(text), expected) << text;
}

TEST(English, ErrorsSayWhichWordWasNotUnderstood) {
  struct Case {
    const char* text;
    const char* message;
    const char* hint;
  };
  const char* usual = "in signs or words";
  const Case cases[] = {
      {"", "character 1: the text ends where a number or ( should stand", usual},
      {"two plus sevn", "character 10: \"sevn\" is no word of a number or an operator",
       "did you mean seven?"},
      {"two banana", "character 5: \"banana\" is no word", usual},
      {"twenty twelve", "character 8: \"twelve\" stands where an operator or the end should",
       usual},
      {"seven-three", "character 1: \"seven-three\" is no word", ""},
      {"twenty-ten", "\"twenty-ten\" is no word", ""},
      {"one hundred and", "character 16: the text ends where a number in words should stand",
       usual},
      {"one hundred and plus one", "character 17: \"plus\" stands where a number in words should",
       usual},
      {"one thousand, 3", "character 15: \"3\" stands where a number in words should", usual},
      {"one, two", "character 4: \",\" stands where an operator or the end should", usual},
      {"one thousand one thousand", "character 18: \"thousand\" stands where a smaller unit should",
       usual},
      {"eleven hundred", "character 8: \"hundred\" stands where an operator", usual},
      {"hundred", "character 1: \"hundred\" stands where a number or ( should", usual},
      {"Three Point", "character 12: the text ends where a digit in words should stand", usual},
      {"three point ten", "character 13: \"ten\" stands where a digit in words should", usual},
      {"three 4", "character 7: \"4\" stands where an operator or the end should", usual},
      {"three negative 4", "character 7: \"negative 4\" stands where an operator", usual},
      {"negative negative four", "character 10: \"negative\" stands where a number should", usual},
      {"negative -4", "character 10: \"-\" stands where a number should", usual},
      {"minus four", "character 1: \"minus\" stands where a number or ( should", usual},
      {"-four", "character 1: \"-\" stands where a number or ( should", usual},
      {"two added three", "character 11: \"three\" stands where to should", usual},
      {"two divided", "character 12: the text ends where by should stand", usual},
      {"two \xc3\x97 three", "character 5: \"\xc3\x97\" stands where an operator", usual},
      {"three point one two three four five six seven eight nine one two three four",
       "character 72: a number has at most 12 digits behind its point", usual},
      {"nine quadrillion point one two three", "character 1: a number has at most 18 digits",
       usual}};
  for (const Case& c : cases) {
    const Error error = caught([&] { from_english(c.text); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(c.message)) << c.text;
    EXPECT_THAT(error.hint(), HasSubstr(c.hint)) << c.text;
  }
  const std::string longest(kMostEnglishBytes, 'a');
  EXPECT_THAT(caught([&] { from_english(longest); }).what(), HasSubstr("is no word"));
  EXPECT_THAT(caught([&] { from_english(longest + "a"); }).what(), HasSubstr("131073 bytes"));
}

}  // namespace
}  // namespace fathom
