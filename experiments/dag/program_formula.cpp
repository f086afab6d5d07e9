#include "experiments/dag/program_formula.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace fathom::dag {
namespace {

constexpr size_t kLongestFormula = 100;

bool is_identity(const std::string& operation) {
  return operation == to_text(Operation::kIdentity);
}
bool is_wrapped(const std::string& formula) {
  return formula.size() > 1 && formula.front() == '(' && formula.back() == ')';
}
std::string unwrapped(const std::string& formula) {
  return is_wrapped(formula) ? formula.substr(1, formula.size() - 2) : formula;
}

// Operation k of its operands' formulas.
std::string joined(const TokenProgram& program, size_t k, const std::string& first,
                   const std::string& second) {
  const std::string& name = program.operations[k];
  const std::string sign = sign_of(operation_named(name));
  if (!sign.empty()) return fmt::format("({} {} {})", first, sign, second);
  if (is_identity(name)) return first;
  return fmt::format("{}({}{})", name, unwrapped(first),
                     takes_two(program, k) ? ", " + unwrapped(second) : "");
}

// Of each node its formula, within parentheses where it is one of two.
std::vector<std::string> formulas_of(const TokenProgram& program) {
  const size_t V = program.values.size();
  std::vector<std::string> formulas;
  for (size_t v = 0; v < V; ++v)
    formulas.push_back(report::shown(node_value(program, v), kValueForm));
  const auto name_of = [&](size_t node) {
    return node < V ? formulas[node] : node_name(program, node);
  };
  for (size_t k = 0; k < program.operations.size(); ++k) {
    const auto [first, second] = operands_of(program, k);
    std::string formula = joined(program, k, formulas.at(first), formulas.at(second));
    if (formula.size() > kLongestFormula)
      formula = joined(program, k, name_of(first), name_of(second));
    formulas.push_back(std::move(formula));
  }
  return formulas;
}

// Whether the result is made of an operation, other than identity, of which `is` says so.
template <class Is>
bool has_step(const TokenProgram& program, const Is& is) {
  const std::vector<bool> reached = reached_nodes(program);
  for (size_t k = 0; k < program.operations.size(); ++k)
    if (reached[program.values.size() + k] && !is_identity(program.operations[k]) && is(k))
      return true;
  return false;
}

}  // namespace

std::string node_name(const TokenProgram& program, size_t node) {
  const size_t V = program.values.size();
  return node < V ? fmt::format("value {}", node + 1) : fmt::format("step {}", node - V + 1);
}

double node_value(const TokenProgram& program, size_t node) {
  const size_t V = program.values.size();
  if (node >= V) return program.hard_values.at(node - V);
  const double sign = program.value_signs[node];
  if (std::abs(sign) == 1) return program.values[node];
  const double size = std::exp(program.value_logs[node]);
  return sign < 0 ? -size : size;
}

std::pair<size_t, size_t> operands_of(const TokenProgram& program, size_t k) {
  if (!program.operand1.empty()) return {program.operand1.at(k), program.operand2.at(k)};
  // A stack: what the operation before left is on top, and one value less is below it.
  const size_t V = program.values.size();
  return {V - 2 - k, k == 0 ? V - 1 : V + k - 1};
}

bool takes_two(const TokenProgram& program, size_t k) {
  return !is_unary(operation_named(program.operations.at(k)));
}

std::vector<bool> reached_nodes(const TokenProgram& program) {
  const size_t V = program.values.size(), D = program.operations.size();
  std::vector<bool> reached(V + D, false);
  reached.back() = true;
  for (size_t k = D; k > 0; --k) {
    if (!reached[V + k - 1]) continue;
    const auto [first, second] = operands_of(program, k - 1);
    reached.at(first) = true;
    if (takes_two(program, k - 1)) reached.at(second) = true;
  }
  return reached;
}

bool divides_by_zero(const TokenProgram& program) {
  return has_step(program, [&](size_t k) {
    const Operation operation = operation_named(program.operations[k]);
    const auto [first, second] = operands_of(program, k);
    const double x = node_value(program, first), y = node_value(program, second);
    return (operation == Operation::kDivide && y == 0) ||
           (operation == Operation::kPower && x == 0 && y < 0);
  });
}

std::string formula_of(const TokenProgram& program) {
  return unwrapped(formulas_of(program).back());
}

std::string equation_of(const TokenProgram& program) {
  return equation(formula_of(program), has_step(program, [](size_t) { return true; }),
                  program.hard_values.back(), divides_by_zero(program), kValueForm);
}

std::string equation(const std::string& formula, bool computes, double value, bool divides_by_zero,
                     const report::NumberForm& form) {
  if (!computes) return formula;
  if (divides_by_zero)
    return formula + " has no value: it divides by 0, for which the executor has 0";
  return formula + (std::isfinite(value) ? " = " + report::shown(value, form)
                                         : " is beyond what a number holds");
}

}  // namespace fathom::dag
