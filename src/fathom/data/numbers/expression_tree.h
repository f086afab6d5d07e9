// Expressions as trees: what tokens mean, and the tokens that mean it.
#pragma once

#include <vector>

#include "fathom/data/numbers/expression.h"

namespace fathom {

struct ExpressionNode {
  // kIdentity: a number.
  Operation operation = Operation::kIdentity;
  Decimal number;
  size_t left = 0, right = 0;  // indices of nodes, of an operation

  bool is_number() const { return operation == Operation::kIdentity; }
};

// Nodes may be operands of several operations.
struct ExpressionTree {
  std::vector<ExpressionNode> nodes;
  size_t root = 0;
};

// Operands stand before their operations, the root is the last node. Throws Error(kUsage), "the
// expression's token 3: ...", where the tokens do not parse.
ExpressionTree tree_of(const std::vector<ExpressionToken>& tokens);

// With the least parentheses that tree_of() reads back as the same tree.
std::vector<ExpressionToken> tokens_of(const ExpressionTree& tree);

}  // namespace fathom
