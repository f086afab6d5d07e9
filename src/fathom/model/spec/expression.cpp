#include "fathom/model/spec/expression.h"

#include <fmt/format.h>

#include <utility>

namespace fathom {
namespace {

using Op = Expr::Op;

Expr operation(Op op, std::vector<Expr> args, int part = 0) {
  Expr e;
  e.op = op;
  e.args = std::move(args);
  e.part = part;
  return e;
}

std::string called(const char* letter, int part) {
  return part == 0 ? letter : fmt::format("{}[{}]", letter, part);
}

std::string arguments(const Expr& e);

// How tightly a place binds: what binds less stands in parentheses there. Operations are read from
// the left, so an operand on the right binds more than one on the left.
enum ExpressionPlace { kValue, kSum, kProduct, kAtom };

// -x; -2 is a number, and -1*2 is not one.
bool is_negation(const Expr& e) {
  return e.args.size() == 2 && e.args[0].op == Op::kNumber && e.args[0].number == -1 &&
         e.args[1].op != Op::kNumber;
}

std::string expression_text(const Expr& e, ExpressionPlace binds) {
  const auto binary = [&](const char* sign, ExpressionPlace own, ExpressionPlace left,
                          ExpressionPlace right) {
    if (e.args.size() != 2) return std::string("?");  // for the message that refuses it
    const std::string text =
        expression_text(e.args[0], left) + sign + expression_text(e.args[1], right);
    return binds > own ? "(" + text + ")" : text;
  };
  switch (e.op) {
    case Op::kName:
      return e.name;
    case Op::kNumber:
      return fmt::format("{}", e.number);
    case Op::kAdd:
      return binary(" + ", kSum, kSum, kProduct);
    case Op::kSubtract:
      return binary(" - ", kSum, kSum, kProduct);
    case Op::kMultiply:
      if (is_negation(e)) {
        const std::string text = "-" + expression_text(e.args[1], kAtom);
        return binds > kProduct ? "(" + text + ")" : text;
      }
      return binary("*", kProduct, kProduct, kAtom);
    case Op::kDivide:
      return binary("/", kProduct, kProduct, kAtom);
    case Op::kGreater:
      return binary(" > ", kValue, kSum, kSum);
    case Op::kAttention:
      return called("A", e.part) + arguments(e);
    case Op::kMlp:
      return called("M", e.part) + arguments(e);
    case Op::kNorm:
      return called("N", e.part) + arguments(e);
    case Op::kFunction:
      return "F." + e.name + arguments(e);
    case Op::kCall:
      return e.name + arguments(e);
  }
  return "";
}

std::string arguments(const Expr& e) {
  std::string out = "(";
  for (size_t i = 0; i < e.args.size(); ++i) out += (i > 0 ? ", " : "") + to_text(e.args[i]);
  return out + ")";
}

}  // namespace

bool operator==(const Expr& a, const Expr& b) {
  return a.op == b.op && a.name == b.name && a.number == b.number && a.part == b.part &&
         a.args == b.args;
}

bool operator==(const Attribute& a, const Attribute& b) {
  return a.name == b.name && a.text == b.text;
}

bool operator==(const Statement& a, const Statement& b) {
  return a.target == b.target && a.value == b.value && a.attributes == b.attributes;
}

std::string to_text(const Expr& e) {
  return expression_text(e, kValue);
}

std::string to_text(const Statement& s) {
  std::string out = s.target + " = " + to_text(s.value);
  for (size_t i = 0; i < s.attributes.size(); ++i)
    out += (i == 0 ? " [" : ", ") + s.attributes[i].name + "=" + s.attributes[i].text;
  return s.attributes.empty() ? out : out + "]";
}

std::string to_text(const std::vector<Statement>& statements) {
  std::string out;
  for (const Statement& s : statements) out += (out.empty() ? "" : "; ") + to_text(s);
  return out;
}

namespace wire {

Expr name(std::string name) {
  Expr e = operation(Op::kName, {});
  e.name = std::move(name);
  return e;
}
Expr number(double number) {
  Expr e;
  e.number = number;
  return e;
}
Expr attention(Expr x, int part) {
  return operation(Op::kAttention, {std::move(x)}, part);
}
Expr attention(Expr x, Expr values, int part) {
  return operation(Op::kAttention, {std::move(x), std::move(values)}, part);
}
Expr attention(Expr x, Expr keys, Expr values, int part) {
  return operation(Op::kAttention, {std::move(x), std::move(keys), std::move(values)}, part);
}
Expr mlp(Expr x, int part) {
  return operation(Op::kMlp, {std::move(x)}, part);
}
Expr norm(Expr x, int part) {
  return operation(Op::kNorm, {std::move(x)}, part);
}
Expr sigmoid(Expr x) {
  return call("sigmoid", {std::move(x)});
}
Expr mean(Expr x) {
  return call("mean", {std::move(x)});
}
Expr sum(Expr x) {
  return call("sum", {std::move(x)});
}
Expr greater(Expr a, Expr b) {
  return operation(Op::kGreater, {std::move(a), std::move(b)});
}
Expr function(std::string name, std::vector<Expr> args) {
  Expr e = operation(Op::kFunction, std::move(args));
  e.name = std::move(name);
  return e;
}
Expr call(std::string name, std::vector<Expr> args) {
  Expr e = operation(Op::kCall, std::move(args));
  e.name = std::move(name);
  return e;
}

}  // namespace wire

Expr operator+(Expr a, Expr b) {
  return operation(Op::kAdd, {std::move(a), std::move(b)});
}
Expr operator-(Expr a, Expr b) {
  return operation(Op::kSubtract, {std::move(a), std::move(b)});
}
Expr operator*(Expr a, Expr b) {
  return operation(Op::kMultiply, {std::move(a), std::move(b)});
}
Expr operator/(Expr a, Expr b) {
  return operation(Op::kDivide, {std::move(a), std::move(b)});
}

}  // namespace fathom
