#include "fathom/data/numbers/rewrite.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/data/numbers/expression_grammar.h"
#include "fathom/data/numbers/expression_tree.h"

namespace fathom {
namespace {

// A rule at a node: what there is to do it to, and how.
struct RewritePlace {
  enum Rule { kSwap, kToLeft, kToRight, kExchange, kDistribute, kCollect } rule;
  size_t node;
};
using Rule = RewritePlace::Rule;

bool same_expression(const ExpressionTree& tree, size_t a, size_t b) {
  const ExpressionNode& x = tree.nodes[a];
  const ExpressionNode& y = tree.nodes[b];
  if (x.operation != y.operation) return false;
  if (x.is_number()) return x.number == y.number;
  return same_expression(tree, x.left, y.left) && same_expression(tree, x.right, y.right);
}

bool is_sum(Operation operation) {
  return operation == Operation::kAdd || operation == Operation::kSubtract;
}

bool applies(const ExpressionTree& tree, Rule rule, const ExpressionNode& node) {
  if (node.is_number()) return false;
  const bool commutes = node.operation == Operation::kAdd || node.operation == Operation::kMultiply;
  const ExpressionNode& left = tree.nodes[node.left];
  const ExpressionNode& right = tree.nodes[node.right];
  switch (rule) {
    case Rule::kSwap:
      return commutes && !same_expression(tree, node.left, node.right);
    case Rule::kToLeft:
      return commutes && right.operation == node.operation;
    case Rule::kToRight:
      return commutes && left.operation == node.operation;
    case Rule::kExchange:
      return commutes && right.operation == node.operation &&
             !same_expression(tree, node.left, right.left);
    case Rule::kDistribute:
      return node.operation == Operation::kMultiply && is_sum(right.operation);
    case Rule::kCollect:
      return is_sum(node.operation) && left.operation == Operation::kMultiply &&
             right.operation == Operation::kMultiply &&
             same_expression(tree, left.left, right.left);
  }
  return false;
}

// Only nodes at and below the place change, and none that stands elsewhere too: tree_of() makes
// trees in which each is the operand of one.
void apply_rule(ExpressionTree& tree, const RewritePlace& place) {
  const size_t top = place.node, left = tree.nodes[top].left, right = tree.nodes[top].right;
  const auto set = [&tree](size_t at, Operation operation, size_t a, size_t b) {
    tree.nodes[at] = {operation, {}, a, b};
  };
  const Operation operation = tree.nodes[top].operation;
  const ExpressionNode l = tree.nodes[left], r = tree.nodes[right];
  switch (place.rule) {
    case Rule::kSwap:
      set(top, operation, right, left);
      break;
    case Rule::kToLeft:
      set(right, operation, left, r.left);
      set(top, operation, right, r.right);
      break;
    case Rule::kToRight:
      set(left, operation, l.right, right);
      set(top, operation, l.left, left);
      break;
    case Rule::kExchange:
      set(right, operation, left, r.right);
      set(top, operation, r.left, right);
      break;
    case Rule::kDistribute:
      set(right, Operation::kMultiply, left, r.left);
      set(top, r.operation, right, tree.nodes.size());
      tree.nodes.push_back({Operation::kMultiply, {}, left, r.right});
      break;
    case Rule::kCollect:
      set(right, operation, l.right, r.right);
      set(top, Operation::kMultiply, l.left, right);
      break;
  }
}

struct RewriteChoice {
  Rewriting kind;
  std::vector<RewritePlace> places;
};

// The kinds that have a place in it.
std::vector<RewriteChoice> rewrite_choices(const ExpressionTree& tree) {
  const std::pair<Rewriting, std::vector<Rule>> kinds[] = {
      {Rewriting::kCommute, {Rule::kSwap}},
      {Rewriting::kRegroup, {Rule::kToLeft, Rule::kToRight, Rule::kExchange}},
      {Rewriting::kExpand, {Rule::kDistribute}},
      {Rewriting::kFactor, {Rule::kCollect}}};
  std::vector<RewriteChoice> choices;
  for (const auto& [kind, rules] : kinds) {
    RewriteChoice choice = {kind, {}};
    for (size_t i = 0; i < tree.nodes.size(); ++i)
      for (const Rule rule : rules)
        if (applies(tree, rule, tree.nodes[i])) choice.places.push_back({rule, i});
    if (!choice.places.empty()) choices.push_back(std::move(choice));
  }
  return choices;
}

template <class T>
const T& drawn_from(const std::vector<T>& choices, const Draw& draw) {
  const auto choice = static_cast<size_t>(draw() * static_cast<double>(choices.size()));
  return choices[std::min(choice, choices.size() - 1)];
}

bool within_limits(const std::vector<ExpressionToken>& tokens) {
  ExpressionGrammar grammar;
  for (const ExpressionToken& token : tokens) {
    grammar.take(token.kind);
    if (grammar.open > kMostNested) return false;
  }
  return tokens.size() <= kMostExpressionTokens && to_text(tokens).size() <= kMostExpressionBytes;
}

bool same_value(double before, double after) {
  return std::isfinite(before) && std::abs(after - before) <= 1e-9 * std::abs(before);
}

std::optional<NumberProgram> program_if_any(const std::vector<ExpressionToken>& tokens,
                                            size_t depth) {
  try {
    return program_of(tokens, depth);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

Rewritten rewritten(const std::vector<ExpressionToken>& tokens, size_t depth, const Draw& draw) {
  ExpressionTree tree = tree_of(tokens);
  Rewritten result;
  result.tokens = tokens;
  // What follows calls itself, as deep as the tree is.
  const std::vector<RewriteChoice> choices =
      within_limits(tokens) ? rewrite_choices(tree) : std::vector<RewriteChoice>();
  if (!choices.empty()) {
    const RewriteChoice& choice = drawn_from(choices, draw);
    apply_rule(tree, drawn_from(choice.places, draw));
    std::vector<ExpressionToken> tokens_after = tokens_of(tree);
    if (within_limits(tokens_after) &&
        same_value(value_of_expression(tokens), value_of_expression(tokens_after))) {
      result.by = choice.kind;
      result.tokens = std::move(tokens_after);
    }
  }
  result.program = program_if_any(result.tokens, depth);
  return result;
}

}  // namespace fathom
