#include "fathom/data/numbers/expression_tree.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/expression_grammar.h"

namespace fathom {
namespace {

// How tightly it holds its operands together.
int binding(Operation operation) {
  if (operation == Operation::kIdentity) return 3;  // a number
  return operation == Operation::kAdd || operation == Operation::kSubtract ? 1 : 2;
}

void check_tokens(const std::vector<ExpressionToken>& tokens) {
  ExpressionGrammar grammar;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool known =
        tokens[i].kind != ExpressionToken::kOperator || tokens[i].operation != Operation::kIdentity;
    if (!known || !grammar.allows(tokens[i].kind))
      misuse(fmt::format("the expression's token {}: {} stands where {} should", i + 1,
                         known ? in_quotes(to_text({tokens[i]})) : "identity", grammar.expected()));
    grammar.take(tokens[i].kind);
  }
  if (!grammar.may_end())
    misuse(fmt::format("the expression's token {}: it ends where {} should stand",
                       tokens.size() + 1, grammar.expected()));
}

// Operators wait until the next one binds no tighter: E. W. Dijkstra's shunting yard.
class TreeBuilder {
 public:
  void take(const ExpressionToken& token) {
    switch (token.kind) {
      case ExpressionToken::kNumber:
        push({Operation::kIdentity, token.number, 0, 0});
        break;
      case ExpressionToken::kOpen:
        waiting_.push_back(kParenthesis);
        break;
      case ExpressionToken::kClose:
        fold_down_to(0);
        waiting_.pop_back();
        break;
      case ExpressionToken::kOperator:
        fold_down_to(binding(token.operation));
        waiting_.push_back(token.operation);
        break;
    }
  }

  ExpressionTree finish() {
    fold_down_to(0);
    tree_.root = operands_.back();
    return std::move(tree_);
  }

 private:
  static constexpr Operation kParenthesis = Operation::kIdentity;

  void push(const ExpressionNode& node) {
    operands_.push_back(tree_.nodes.size());
    tree_.nodes.push_back(node);
  }

  // Operations that bind at least so tightly, up to the last open parenthesis.
  void fold_down_to(int least) {
    while (!waiting_.empty() && waiting_.back() != kParenthesis &&
           binding(waiting_.back()) >= least) {
      const size_t right = operands_.back();
      operands_.pop_back();
      const size_t left = operands_.back();
      operands_.pop_back();
      push({waiting_.back(), {}, left, right});
      waiting_.pop_back();
    }
  }

  ExpressionTree tree_;
  std::vector<size_t> operands_;
  std::vector<Operation> waiting_;
};

// Goes down to the right in a loop, and calls itself on the left alone.
void append_tokens(const ExpressionTree& tree, size_t at, std::vector<ExpressionToken>& out) {
  const ExpressionToken open = {ExpressionToken::kOpen, {}, {}};
  const ExpressionToken close = {ExpressionToken::kClose, {}, {}};
  size_t opened = 0;  // they all end where the rightmost operand does
  const ExpressionNode* node = &tree.nodes[at];
  while (!node->is_number()) {
    const int own = binding(node->operation);
    const bool nested = binding(tree.nodes[node->left].operation) < own;
    if (nested) out.push_back(open);
    append_tokens(tree, node->left, out);
    if (nested) out.push_back(close);
    out.push_back({ExpressionToken::kOperator, {}, node->operation});
    const ExpressionNode& right = tree.nodes[node->right];
    if (binding(right.operation) <= own) {
      out.push_back(open);
      ++opened;
    }
    node = &right;
  }
  out.push_back({ExpressionToken::kNumber, node->number, {}});
  out.insert(out.end(), opened, close);
}

}  // namespace

ExpressionTree tree_of(const std::vector<ExpressionToken>& tokens) {
  check_tokens(tokens);
  TreeBuilder builder;
  for (const ExpressionToken& token : tokens) builder.take(token);
  return builder.finish();
}

std::vector<ExpressionToken> tokens_of(const ExpressionTree& tree) {
  std::vector<ExpressionToken> tokens;
  append_tokens(tree, tree.root, tokens);
  return tokens;
}

}  // namespace fathom
