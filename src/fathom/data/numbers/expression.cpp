#include "fathom/data/numbers/expression.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/expression_reader.h"
#include "fathom/data/numbers/expression_tree.h"

namespace fathom {
namespace {

std::string token_text(const ExpressionToken& token) {
  switch (token.kind) {
    case ExpressionToken::kNumber:
      return to_text(token.number);
    case ExpressionToken::kOperator:
      if (token.operation == Operation::kIdentity) fail("identity has no sign in an expression");
      return sign_of(token.operation);
    case ExpressionToken::kOpen:
      return "(";
    case ExpressionToken::kClose:
      break;
  }
  return ")";
}

// Of each node.
std::vector<double> values_of(const ExpressionTree& tree) {
  std::vector<double> values;
  values.reserve(tree.nodes.size());
  for (const ExpressionNode& node : tree.nodes)
    values.push_back(node.is_number()
                         ? node.number.value()
                         : apply(node.operation, values[node.left], values[node.right]));
  return values;
}

}  // namespace

bool operator==(const ExpressionToken& a, const ExpressionToken& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == ExpressionToken::kNumber) return a.number == b.number;
  return a.kind != ExpressionToken::kOperator || a.operation == b.operation;
}

std::vector<ExpressionToken> expression_of(const NumberProgram& program) {
  const std::vector<bool> used = used_values(program);
  const auto last = static_cast<size_t>(std::count(used.begin(), used.end(), true)) - 1;
  ExpressionTree tree;
  tree.nodes.push_back({Operation::kIdentity, program.values[last], 0, 0});
  for (size_t i = last; i-- > 0;) {
    const size_t right = tree.root;
    tree.nodes.push_back({Operation::kIdentity, program.values[i], 0, 0});
    tree.root = tree.nodes.size();
    tree.nodes.push_back({program.operations[program.depth() - 1 - i], {}, tree.root - 1, right});
  }
  return tokens_of(tree);
}

std::string to_text(const std::vector<ExpressionToken>& tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool joined = i == 0 || tokens[i - 1].kind == ExpressionToken::kOpen ||
                        tokens[i].kind == ExpressionToken::kClose;
    if (!joined) text += ' ';
    text += token_text(tokens[i]);
  }
  return text;
}

std::vector<ExpressionToken> expression_tokens(std::string_view text) {
  ExpressionReader reader(text, kMostExpressionBytes,
                          "an expression is made of numbers, + - * / and parentheses: "
                          "3 - -4 * (1.5 - 7)");
  while (!reader.at_end()) reader.take_signs();
  return reader.finish();
}

double value_of_expression(const std::vector<ExpressionToken>& tokens) {
  return values_of(tree_of(tokens)).back();
}

bool divides_by_zero(const std::vector<ExpressionToken>& tokens) {
  const ExpressionTree tree = tree_of(tokens);
  const std::vector<double> values = values_of(tree);
  return std::any_of(tree.nodes.begin(), tree.nodes.end(), [&](const ExpressionNode& node) {
    return node.operation == Operation::kDivide && values[node.right] == 0;
  });
}

NumberProgram program_of(const std::vector<ExpressionToken>& tokens, size_t depth) {
  const ExpressionTree tree = tree_of(tokens);
  NumberProgram program;
  size_t at = tree.root;
  for (; !tree.nodes[at].is_number(); at = tree.nodes[at].right) {
    const ExpressionNode& node = tree.nodes[at];
    const ExpressionNode& left = tree.nodes[node.left];
    if (!left.is_number())
      misuse(fmt::format("{} is no program: a result stands to the left of its operation {}",
                         quoted_start(to_text(tokens)), program.operations.size() + 1),
             "a program is nested to the right: 3 + (4 - 5 * 6)");
    program.values.push_back(left.number);
    program.operations.push_back(node.operation);
  }
  program.values.push_back(tree.nodes[at].number);
  if (program.depth() > depth)
    misuse(fmt::format("{} has {}, the program has {} at most", quoted_start(to_text(tokens)),
                       counted(static_cast<int64_t>(program.depth()), "operation"), depth));
  // From the outermost operation to the one that is executed first, and those that fill up.
  program.operations.resize(depth, Operation::kIdentity);
  std::reverse(program.operations.begin(), program.operations.end());
  program.values.resize(depth + 1);
  return program;
}

}  // namespace fathom
