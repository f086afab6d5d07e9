// What may follow in an expression, token by token.
#pragma once

#include "fathom/data/numbers/expression.h"

namespace fathom {

struct ExpressionGrammar {
  bool operand = true;  // a number or a parenthesis comes next
  size_t open = 0;      // parentheses

  bool allows(ExpressionToken::Kind kind) const {
    if (kind == ExpressionToken::kClose) return !operand && open > 0;
    return operand == (kind != ExpressionToken::kOperator);
  }
  bool may_end() const { return !operand && open == 0; }

  void take(ExpressionToken::Kind kind) {
    operand = kind == ExpressionToken::kOperator || kind == ExpressionToken::kOpen;
    if (kind == ExpressionToken::kOpen) ++open;
    if (kind == ExpressionToken::kClose) --open;
  }

  // For a message: "... stands where {} should".
  const char* expected() const {
    if (operand) return "a number or (";
    return open > 0 ? "an operator or )" : "an operator or the end";
  }
};

}  // namespace fathom
