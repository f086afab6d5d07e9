// Programs as infix text and back.
//
//   text     = sum
//   sum      = product { ("+" | "-") product }     operators of one precedence from left to right
//   product  = operand { ("*" | "/") operand }
//   operand  = number | "(" sum ")"
//   number   = ["-"] digits ["." digits]
//
// Tokens are joined by single spaces; "(" has none behind it and ")" none before it. A minus
// directly before a number's first digit, at the beginning or behind an operator or "(", is the
// number's; elsewhere it is an operator: "3 - -4", "-2 * (1.5 - 7)".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/numbers/program.h"

namespace fathom {

// Where choices come from: each number in [0, 1) that is asked for decides one thing.
using Draw = std::function<double()>;

// A piece of an expression's text, before it is joined.
struct ExpressionToken {
  enum Kind { kNumber, kOperator, kOpen, kClose } kind = kNumber;
  Decimal number;                         // of kNumber
  Operation operation = Operation::kAdd;  // of kOperator; never identity
};
bool operator==(const ExpressionToken& a, const ExpressionToken& b);

// The program's expression, with the least parentheses that read back as the same tree. What
// identity drops is not in it.
std::vector<ExpressionToken> expression_of(const NumberProgram& program);
std::string to_text(const std::vector<ExpressionToken>& tokens);

// Throws Error(kUsage) that says at which character what was expected: kMostExpressionBytes,
// kMostExpressionTokens and parentheses kMostNested deep are the most.
inline constexpr size_t kMostExpressionBytes = 4096, kMostExpressionTokens = 512, kMostNested = 64;
std::vector<ExpressionToken> expression_tokens(std::string_view text);

// Any expression's value. Throws Error(kUsage) where it does not parse. A division by 0 gives what
// is not finite.
double value_of_expression(const std::vector<ExpressionToken>& tokens);
// Whether it has a division by 0, also one whose infinity goes away: 1 / (2 / 0). Throws alike.
bool divides_by_zero(const std::vector<ExpressionToken>& tokens);

// The program of an expression that is nested to the right as programs are, a o2 (b o1 c), padded
// to `depth` operations: identities that are executed first, over zeros on top. Throws
// Error(kUsage) for another expression, and for more operations than `depth`.
NumberProgram program_of(const std::vector<ExpressionToken>& tokens, size_t depth);

}  // namespace fathom
