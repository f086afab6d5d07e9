#include "fathom/data/numbers/expression.h"

#include <cmath>
#include <optional>

#include "data/numbers/numbers_testing.h"

namespace fathom {
namespace {

using testing::caught;
using testing::Draws;
using ::testing::HasSubstr;
using testing::independent_value;
using testing::random_program;

std::string printed(const NumberProgram& program) {
  return to_text(expression_of(program));
}
NumberProgram program_of_text(const std::string& text, size_t depth) {
  return program_of(expression_tokens(text), depth);
}
double value_of_text(const std::string& text) {
  return value_of_expression(expression_tokens(text));
}

TEST(Expression, HasTheParenthesesThatItNeeds) {
  const auto text = [](Operation inner, Operation outer) {
    return printed({{{1, 0}, {-25, 1}, {3, 0}}, {inner, outer}});
  };
  using Op = Operation;
  EXPECT_EQ(text(Op::kAdd, Op::kAdd), "1 + (-2.5 + 3)");
  EXPECT_EQ(text(Op::kSubtract, Op::kSubtract), "1 - (-2.5 - 3)");
  EXPECT_EQ(text(Op::kMultiply, Op::kSubtract), "1 - -2.5 * 3");
  EXPECT_EQ(text(Op::kDivide, Op::kAdd), "1 + -2.5 / 3");
  EXPECT_EQ(text(Op::kAdd, Op::kMultiply), "1 * (-2.5 + 3)");
  EXPECT_EQ(text(Op::kMultiply, Op::kMultiply), "1 * (-2.5 * 3)");
  EXPECT_EQ(text(Op::kMultiply, Op::kDivide), "1 / (-2.5 * 3)");
  EXPECT_EQ(text(Op::kIdentity, Op::kDivide), "1 / -2.5");
  EXPECT_EQ(text(Op::kAdd, Op::kIdentity), "1");
  EXPECT_EQ(printed({{{1, 0}, {2, 0}, {3, 0}, {4, 0}}, {Op::kAdd, Op::kAdd, Op::kMultiply}}),
            "1 * (2 + (3 + 4))");
}

TEST(Expression, OfAProgramIsReadAsThatProgram) {
  Draws draws(11);
  for (int i = 0; i < 10000; ++i) {
    const auto depth = static_cast<size_t>(1 + draws.below(7));
    const auto real = static_cast<size_t>(draws.below(static_cast<int64_t>(depth) + 1));
    const NumberProgram program = random_program(draws, depth, real);
    const std::vector<ExpressionToken> tokens = expression_of(program);
    ASSERT_EQ(expression_tokens(to_text(tokens)), tokens) << to_text(tokens);
    ASSERT_EQ(program_of(tokens, depth), program) << to_text(tokens);
    const double expected = independent_value(program);
    if (!std::isfinite(expected)) continue;
    ASSERT_NEAR(value_of_expression(tokens), expected, 1e-9 * std::abs(expected));
    // Every operand is there, in order.
    std::vector<Decimal> operands;
    for (const ExpressionToken& token : tokens)
      if (token.kind == ExpressionToken::kNumber) operands.push_back(token.number);
    ASSERT_EQ(operands, std::vector<Decimal>(program.values.begin(),
                                             program.values.begin() + static_cast<int>(real) + 1));
  }
}

TEST(Expression, LosesItsMeaningWithAnyPairOfItsParentheses) {
  Draws draws(12);
  const auto read = [](const std::vector<ExpressionToken>& tokens, size_t depth) {
    try {
      return std::optional(program_of(tokens, depth));
    } catch (const Error&) {
      return std::optional<NumberProgram>();
    }
  };
  size_t pairs = 0;
  for (int i = 0; i < 500; ++i) {
    const NumberProgram program = random_program(draws, 5, 5);
    const std::vector<ExpressionToken> tokens = expression_of(program);
    for (size_t open = 0; open < tokens.size(); ++open) {
      if (tokens[open].kind != ExpressionToken::kOpen) continue;
      ++pairs;
      // All of them end at the end.
      std::vector<ExpressionToken> without(tokens.begin(), tokens.end() - 1);
      without.erase(without.begin() + static_cast<int>(open));
      EXPECT_FALSE(read(without, 5) == program) << to_text(without);
    }
  }
  EXPECT_GT(pairs, 500u);
}

TEST(Expression, AMinusBeforeADigitIsTheNumbersWhereAnOperandStands) {
  for (const char* text : {"3 - -4", "-2 * (1.5 - 7)", "3 - 4", "(-4)", "-4 - 4"})
    EXPECT_EQ(to_text(expression_tokens(text)), text);
  EXPECT_EQ(to_text(expression_tokens("3 -4")), "3 - 4");
  EXPECT_EQ(to_text(expression_tokens("3--4")), "3 - -4");
  EXPECT_EQ(to_text(expression_tokens("\t2*( 3-1 )/ 4 ")), "2 * (3 - 1) / 4");
  EXPECT_EQ(value_of_text("3--4"), 7);
  EXPECT_EQ(value_of_text("(2)-(1)"), 1);
}

TEST(Expression, HasItsValueByPrecedenceAndFromLeftToRight) {
  EXPECT_EQ(value_of_text("1 - 2 - 3"), -4);
  EXPECT_EQ(value_of_text("1 - (2 - 3)"), 2);
  EXPECT_EQ(value_of_text("2 + 3 * 4 - 6 / 2 / 3"), 13);
  EXPECT_EQ(value_of_text("(2 + 3) * (4 - 6) / (2 / 4)"), -20);
  EXPECT_EQ(value_of_text("((((7))))"), 7);
  EXPECT_FALSE(std::isfinite(value_of_text("1 / (2 - 2)")));
}

TEST(Expression, IsAProgramWhereItIsNestedToTheRight) {
  using Op = Operation;
  const NumberProgram program = {{{7, 0}, {2, 0}, {5, 1}, {0, 0}},
                                 {Op::kIdentity, Op::kSubtract, Op::kMultiply}};
  EXPECT_EQ(program_of_text("7 * (2 - (0.5))", 3), program);
  EXPECT_EQ(value_of(program), value_of_text("7 * (2 - 0.5)"));
  EXPECT_EQ(program_of_text("7", 1), (NumberProgram{{{7, 0}, {0, 0}}, {Op::kIdentity}}));
  EXPECT_EQ(program_of_text("7", 0), (NumberProgram{{{7, 0}}, {}}));
  EXPECT_THAT(caught([] { program_of_text("1 + 2 + 3", 4); }).what(),
              HasSubstr("\"1 + 2 + 3\" is no program: a result stands to the left of its operation "
                        "1"));
  EXPECT_THAT(caught([] { program_of_text("1 + (2 * 3 - 4)", 4); }).what(),
              HasSubstr("operation 2"));
  EXPECT_THAT(caught([] { program_of_text("1 + 2 * 3", 1); }).what(),
              HasSubstr("has 2 operations, the program has 1 at most"));
}

TEST(Expression, ErrorsSayAtWhichCharacterWhatWasExpected) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "character 1: the text ends where a number or ( should stand"},
      {"3 +", "character 4: the text ends where a number or ( should stand"},
      {"3 + )", "character 5: \")\" stands where a number or ( should"},
      {"3 4", "character 3: \"4\" stands where an operator or the end should"},
      {"3 -4.5 -(2", "character 11: the text ends where an operator or ) should stand"},
      {"3)", "character 2: \")\" stands where an operator or the end should"},
      {"(3 (", "character 4: \"(\" stands where an operator or ) should"},
      {"- 4", "character 1: \"-\" stands where a number or ( should"},
      {"-(4)", "character 1: \"-\" stands where a number or ( should"},
      {"3 + 4.", "character 7: the text ends where a digit should stand"},
      {"4.x", "character 3: \"x\" stands where a digit should"},
      {"1.2.3", "character 4: \".\" stands where an operator or the end should"},
      {"3 \xc3\x97 4", "character 3: \"\xc3\x97\" stands where an operator or the end should"},
      {"3 + \x1b", "character 5: \"\\x1b\" stands where a number or ( should"},
      {"1 + 1234567890123456789", "character 5: a number has at most 18 digits"},
      {"0.1234567890123", "character 1: a number has at most 18 digits, and 12 of them"}};
  for (const auto& [text, expected] : cases) {
    const Error error = caught([&, input = text] { expression_tokens(input); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(expected)) << text;
    EXPECT_THAT(error.hint(), HasSubstr("numbers, + - * / and parentheses")) << text;
  }
}

TEST(Expression, HasLimits) {
  const std::string open(kMostNested, '('), close(kMostNested, ')');
  EXPECT_EQ(value_of_text(open + "7" + close), 7);
  EXPECT_THAT(caught([&] { expression_tokens("(" + open + "7" + close + ")"); }).what(),
              HasSubstr("character 65: parentheses are more than 64 deep"));
  std::string sum = "1";
  while (sum.size() < kMostExpressionTokens - 1) sum += "+1";
  EXPECT_EQ(value_of_text(sum), 256);
  EXPECT_THAT(caught([&] { expression_tokens(sum + "+1"); }).what(),
              HasSubstr("character 513: there are more than 512"));
  EXPECT_NO_THROW(expression_tokens("1" + std::string(kMostExpressionBytes - 1, ' ')));
  EXPECT_THAT(
      caught([] { expression_tokens("1" + std::string(kMostExpressionBytes, ' ')); }).what(),
      HasSubstr("4097 bytes"));
}

TEST(Expression, TokensThatDoNotParseAreRefused) {
  const ExpressionToken number = {ExpressionToken::kNumber, {4, 0}, {}};
  const ExpressionToken plus = {ExpressionToken::kOperator, {}, Operation::kAdd};
  const ExpressionToken identity = {ExpressionToken::kOperator, {}, Operation::kIdentity};
  const ExpressionToken close = {ExpressionToken::kClose, {}, {}};
  const auto error_for = [](const std::vector<ExpressionToken>& tokens) {
    return std::string(caught([&] { value_of_expression(tokens); }).what());
  };
  EXPECT_THAT(error_for({}), HasSubstr("token 1: it ends where a number or ( should stand"));
  EXPECT_THAT(error_for({number, plus}), HasSubstr("token 3: it ends"));
  EXPECT_THAT(error_for({number, number}), HasSubstr("token 2: \"4\" stands where an operator"));
  EXPECT_THAT(error_for({number, close}), HasSubstr("token 2: \")\""));
  EXPECT_THAT(error_for({number, identity, number}), HasSubstr("token 2: identity stands"));
}

TEST(Expression, ADivisionByZeroIsFoundWhereverItStands) {
  for (const char* text : {"2 / 0", "1 / (2 / 0)", "3 + 2 / (1 - 1)", "0 / 0 * 0"})
    EXPECT_TRUE(divides_by_zero(expression_tokens(text))) << text;
  for (const char* text : {"0 / 2", "1 / (2 - 0)", "0 * 0"})
    EXPECT_FALSE(divides_by_zero(expression_tokens(text))) << text;
}

}  // namespace
}  // namespace fathom
