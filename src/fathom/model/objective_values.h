// Values of the expressions of objectives (spec/objective.h).
//
// R rows.
#pragma once

#include <string>

#include "fathom/model/spec/objective.h"
#include "fathom/ops/tensor.h"

namespace fathom {

struct TermValue {
  Tensor x;  // of each row (R), or one number in the graph; undefined: `number`
  double number = 0;
  bool is_choice = false;  // x is bool: 0 or 1
};

// Where the names of an expression have their values.
class SignalSource {
 public:
  explicit SignalSource(at::ScalarType type) : type_(type) {}
  virtual ~SignalSource() = default;
  // Throws Error for a name that has none.
  virtual TermValue of(const std::string& name) const = 0;
  // The logarithm, where it is known better than by ln of the value; else undefined.
  virtual Tensor ln_of(const std::string& /*name*/) const { return {}; }
  // Of mean(x), which most sources have not.
  virtual TermValue mean(const Expr& e) const;

  at::ScalarType type() const { return type_; }  // what 0 and 1 become among other numbers

 protected:
  [[noreturn]] static void refuse(const std::string& name);

 private:
  at::ScalarType type_;
};

// What a choice leaves out of a product is 0, whatever the other factor is there.
TermValue evaluate(const Expr& e, const SignalSource& signals);

// The value as numbers of each row: zeros and ones of choices, `like` filled with a number.
Tensor rows_of(const TermValue& value, const SignalSource& signals, const Tensor& like_R);

// ln(1 - exp(z)) for z < 0, accurate at both ends (Maechler 2012).
Tensor log1mexp(const Tensor& z);

}  // namespace fathom
