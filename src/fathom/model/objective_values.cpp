#include "fathom/model/objective_values.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Op = Expr::Op;

TermValue number_value(double number) {
  TermValue value;
  value.number = number;
  return value;
}

TermValue tensor_value(Tensor x, bool is_choice = false) {
  TermValue value;
  value.x = std::move(x);
  value.is_choice = is_choice;
  return value;
}

class Evaluator {
 public:
  explicit Evaluator(const SignalSource& signals) : signals_(signals) {}

  TermValue value(const Expr& e) const {
    switch (e.op) {
      case Op::kNumber:
        return number_value(e.number);
      case Op::kName:
        return signals_.of(e.name);
      case Op::kAdd:
        return sum(value(e.args.at(0)), value(e.args.at(1)), 1);
      case Op::kSubtract:
        return sum(value(e.args.at(0)), value(e.args.at(1)), -1);
      case Op::kMultiply:
        return product(value(e.args.at(0)), value(e.args.at(1)));
      case Op::kDivide:
        return quotient(value(e.args.at(0)), value(e.args.at(1)));
      case Op::kGreater:
        return greater(value(e.args.at(0)), value(e.args.at(1)));
      case Op::kCall:
        return call(e);
      case Op::kAttention:
      case Op::kMlp:
      case Op::kNorm:
      case Op::kFunction:
        break;
    }
    fail(fmt::format("{} has no value in an objective", to_text(e)));
  }

 private:
  bool is_number(const TermValue& v) const { return !v.x.defined(); }
  Tensor numbers(const TermValue& v) const { return v.is_choice ? v.x.to(signals_.type()) : v.x; }

  TermValue sum(const TermValue& a, const TermValue& b, double sign) const {
    if (is_number(a) && is_number(b)) return number_value(a.number + sign * b.number);
    if (is_number(a) && a.number == 1 && b.is_choice && sign < 0)
      return tensor_value(b.x.logical_not(), true);
    if (is_number(b)) return tensor_value(numbers(a) + sign * b.number);
    const Tensor y = sign < 0 ? -numbers(b) : numbers(b);
    return tensor_value(is_number(a) ? y + a.number : numbers(a) + y);
  }

  TermValue product(const TermValue& a, const TermValue& b) const {
    if (is_number(a) && is_number(b)) return number_value(a.number * b.number);
    if (is_number(a)) return product(b, a);
    if (is_number(b)) return b.number == 1 ? a : tensor_value(numbers(a) * b.number);
    if (a.is_choice && b.is_choice) return tensor_value(a.x.logical_and(b.x), true);
    if (b.is_choice) return tensor_value(a.x.masked_fill(b.x.logical_not(), 0));
    if (a.is_choice) return product(b, a);
    return tensor_value(a.x * b.x);
  }

  TermValue quotient(const TermValue& a, const TermValue& b) const {
    if (is_number(a) && is_number(b)) return number_value(a.number / b.number);
    if (is_number(b)) return tensor_value(numbers(a) / b.number);
    if (is_number(a)) return tensor_value(numbers(b).reciprocal() * a.number);
    return product(a, tensor_value(numbers(b).reciprocal()));
  }

  TermValue greater(const TermValue& a, const TermValue& b) const {
    if (is_number(a) && is_number(b)) return number_value(a.number > b.number ? 1 : 0);
    if (is_number(b)) return tensor_value(numbers(a).gt(b.number), true);
    if (is_number(a)) return tensor_value(numbers(b).lt(a.number), true);
    return tensor_value(numbers(a).gt(numbers(b)), true);
  }

  TermValue extreme(const TermValue& a, const TermValue& b, bool largest) const {
    if (is_number(a) && is_number(b))
      return number_value(largest ? std::max(a.number, b.number) : std::min(a.number, b.number));
    if (is_number(a)) return extreme(b, a, largest);
    const Tensor x = numbers(a);
    if (is_number(b))
      return tensor_value(largest ? x.clamp_min(b.number) : x.clamp_max(b.number));
    const Tensor y = numbers(b);
    return tensor_value(largest ? at::maximum(x, y) : at::minimum(x, y));
  }

  TermValue call(const Expr& e) const {
    if (e.name == "mean") return signals_.mean(e);
    if (e.name == "ln") return ln(e.args.at(0));
    const TermValue x = value(e.args.at(0));
    if (e.name == "min" || e.name == "max")
      return extreme(x, value(e.args.at(1)), e.name == "max");
    if (e.name == "exp")
      return is_number(x) ? number_value(std::exp(x.number)) : tensor_value(numbers(x).exp());
    if (e.name != "stop") fail(fmt::format("{} has no value in an objective", to_text(e)));
    return is_number(x) ? x : tensor_value(x.x.detach(), x.is_choice);
  }

  TermValue ln(const Expr& e) const {
    const Tensor known = known_ln(e);
    if (known.defined()) return tensor_value(known);
    if (const Expr* rest = one_minus(e)) {
      const TermValue x = value(*rest);
      if (!is_number(x) && !x.is_choice) return tensor_value((-x.x).log1p());
    }
    const TermValue x = value(e);
    return is_number(x) ? number_value(std::log(x.number)) : tensor_value(numbers(x).log());
  }

  // x of 1 - x; null: it is something else.
  static const Expr* one_minus(const Expr& e) {
    const bool is = e.op == Op::kSubtract && e.args.size() == 2 && e.args[0].op == Op::kNumber &&
                    e.args[0].number == 1;
    return is ? &e.args[1] : nullptr;
  }

  // Of what is made of logarithms; else undefined.
  Tensor known_ln(const Expr& e) const {
    if (e.op == Op::kName) return signals_.ln_of(e.name);
    if (const Expr* rest = one_minus(e)) {
      const Tensor z = known_ln(*rest);
      return z.defined() ? log1mexp(z) : z;
    }
    if (e.op == Op::kMultiply) {
      const Tensor a = known_ln(e.args.at(0));
      const Tensor b = a.defined() ? known_ln(e.args.at(1)) : Tensor();
      return b.defined() ? a + b : b;
    }
    if (e.op != Op::kCall) return {};
    if (e.name == "stop") {
      const Tensor z = known_ln(e.args.at(0));
      return z.defined() ? z.detach() : z;
    }
    if (e.name != "exp") return {};
    const TermValue x = value(e.args.at(0));
    return is_number(x) || x.is_choice ? Tensor() : x.x;
  }

  const SignalSource& signals_;
};

}  // namespace

TermValue SignalSource::mean(const Expr& e) const {
  refuse(to_text(e));
}

void SignalSource::refuse(const std::string& name) {
  fail(fmt::format("{} has no value in this term of an objective", name),
       "signals are in model/spec/objective_signals.h");
}

TermValue evaluate(const Expr& e, const SignalSource& signals) {
  return Evaluator(signals).value(e);
}

Tensor rows_of(const TermValue& value, const SignalSource& signals, const Tensor& like_R) {
  if (!value.x.defined())
    return at::full_like(like_R, value.number, like_R.options().requires_grad(false));
  return value.is_choice ? value.x.to(signals.type()) : value.x;
}

Tensor log1mexp(const Tensor& z) {
  // 1 - exp(z) is never 0 then.
  const Tensor x = z.clamp_max(-static_cast<double>(std::numeric_limits<float>::min()));
  const Tensor near_one = x.gt(-std::log(2.0));
  // Each branch sees only arguments it can take: the other one's gradient would be 0 * infinity.
  const Tensor small = at::where(near_one, x, -1.0 * x.new_ones({}));
  const Tensor large = at::where(near_one, -1.0 * x.new_ones({}), x);
  return at::where(near_one, (-small.expm1()).log(), (-large.exp()).log1p());
}

}  // namespace fathom
