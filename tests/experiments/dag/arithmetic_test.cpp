// Numbers as signs and logs against real arithmetic, and their gradients against differences.
#include "experiments/dag/arithmetic.h"

#include <ATen/ops/isfinite.h>

#include <limits>

#include "errors.h"
#include "experiments/dag/numbers.h"

namespace fathom::testing::dag_arithmetic {
namespace {

using dag::ArithmeticCounts;
using dag::ArithmeticOptions;
using dag::Clip;
using dag::Numbers;

constexpr ArithmeticOptions kUnclipped = {Clip::kNone, 0};

Numbers number_result(fathom::Operation operation, const Numbers& x, const Numbers& y,
                      const ArithmeticOptions& options = kUnclipped) {
  return dag::apply(operation, x, y, options, nullptr);
}

double one_value(fathom::Operation operation, double x, double y,
                 const ArithmeticOptions& options = kUnclipped) {
  return number_result(operation, sign_log_of({x}), sign_log_of({y}), options)
      .value()
      .item<double>();
}

// Pairs of wide_values: equal ones, opposite ones and zeros among them.
struct Pairs {
  explicit Pairs(size_t n, unsigned seed = 1) {
    const std::vector<double> both = wide_values(n + 1, seed);
    x.assign(both.begin() + 1, both.end()), y.assign(both.begin(), both.end() - 1);
  }
  std::vector<double> x, y;
};

TEST(Arithmetic, IsThatOfRealNumbers) {
  const Pairs pairs(100000);
  for (const fathom::Operation operation : kOperations) {
    const std::vector<double> actual = numbers(
        number_result(operation, sign_log_of(pairs.x), sign_log_of(pairs.y), {Clip::kClamp, 600})
            .value());
    double worst = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      const double x = pairs.x[i], y = pairs.y[i];
      const double expected =
          divides_by_zero(operation, x, y)
              ? 0
              : rounded_result(operation, rounded_once(x), rounded_once(y)).value;
      // Of a sum, the larger operand is what logs can be as close to.
      const bool sum =
          operation == fathom::Operation::kAdd || operation == fathom::Operation::kSubtract;
      const double size = sum ? std::max(std::abs(x), std::abs(y)) : std::abs(expected);
      const double error = std::abs(actual[i] - expected);
      worst = std::max(worst, size == 0 ? error * 1e300 : error / size);
      ASSERT_FALSE(std::isnan(actual[i])) << x << ", " << y;
    }
    EXPECT_LE(worst, 1e-10) << static_cast<int>(operation);
  }
}

TEST(Arithmetic, SumsOfSinglePrecisionAreAsCloseAsItsLogs) {
  const Pairs pairs(20000, 2);
  const std::vector<double> actual =
      numbers(number_result(fathom::Operation::kAdd, of_type(sign_log_of(pairs.x), at::kFloat),
                            of_type(sign_log_of(pairs.y), at::kFloat))
                  .value());
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double size = std::max(std::abs(pairs.x[i]), std::abs(pairs.y[i]));
    if (size > 0) worst = std::max(worst, std::abs(actual[i] - pairs.x[i] - pairs.y[i]) / size);
  }
  EXPECT_LE(worst, 1e-5);
}

TEST(Arithmetic, WhatCancelsIsZero) {
  std::vector<double> x;
  for (const double v : wide_values(1000, 3))
    if (v != 0) x.push_back(v);
  ArithmeticCounts counts;
  const Numbers zero =
      dag::apply(fathom::Operation::kSubtract, sign_log_of(x), sign_log_of(x), {}, &counts);
  for (const double s : numbers(zero.sign)) EXPECT_EQ(s, 0);
  for (const double l : numbers(zero.log)) EXPECT_EQ(l, 0);
  EXPECT_EQ(counts.cancelled, static_cast<int64_t>(x.size()));
  EXPECT_EQ(counts.results, static_cast<int64_t>(x.size()));
  // Two zeros do not cancel one another.
  ArithmeticCounts none;
  dag::apply(fathom::Operation::kAdd, sign_log_of({0, 0, 3}), sign_log_of({0, 5, 0}), {}, &none);
  EXPECT_EQ(none.cancelled, 0);
}

// l = ln(e^d - 1), which is ln d + d/2 for what is this small.
TEST(Arithmetic, DifferencesHaveNoFloor) {
  EXPECT_NEAR(one_value(fathom::Operation::kSubtract, 1000, 999.9), 0.1, 1e-11);
  for (const auto type : {at::kDouble, at::kFloat})
    for (const double d : {1e-3, 1e-6, 1e-12, 1e-30}) {
      const Numbers x = of_type({{}, tensor_of({1}, {1}), tensor_of({d}, {1})}, type);
      const Numbers one = of_type(sign_log_of({1}), type);
      const double held = x.log.item<double>();
      const double epsilon = type == at::kDouble ? 1e-15 : 1e-6;
      for (const bool first : {true, false}) {
        const Numbers difference = first ? number_result(fathom::Operation::kSubtract, x, one)
                                         : number_result(fathom::Operation::kSubtract, one, x);
        EXPECT_NEAR(difference.log.item<double>(), std::log(std::expm1(held)),
                    epsilon * std::max(1.0, std::abs(std::log(held))));
        EXPECT_EQ(difference.sign.item<double>(), first ? 1 : -1);
      }
    }
}

// What dag_clip = tanh and dag_log_limit = 10 give; its floor of differences, d at least 1e-3, is
// not one of ours, and would make 1000 - 999.9 this.
TEST(Arithmetic, TheNotebooksExamples) {
  const auto notebook = [](fathom::Operation operation, double x, double y) {
    return one_value(operation, x, y, {Clip::kTanh, 10});
  };
  EXPECT_NEAR(notebook(fathom::Operation::kMultiply, 2, 3), 5.887, 5e-4);
  EXPECT_NEAR(notebook(fathom::Operation::kMultiply, 100, 100), 1427.8, 0.05);
  EXPECT_NEAR(1000 * -std::expm1(-1e-3), 0.9995, 5e-5);
  EXPECT_EQ(notebook(fathom::Operation::kAdd, 7, -7), 0);
  EXPECT_NEAR(notebook(fathom::Operation::kIdentity, 1e6, 3), 1e6, 1e-6);  // is not clipped
  // Ours have neither the clip nor the floor.
  EXPECT_NEAR(one_value(fathom::Operation::kMultiply, 2, 3, {}), 6, 1e-12);
  EXPECT_NEAR(one_value(fathom::Operation::kMultiply, 100, 100, {}), 10000, 1e-8);
}

TEST(Arithmetic, ObeysItsLaws) {
  const Pairs pairs(5000, 4);
  const Numbers a = sign_log_of(pairs.x), b = sign_log_of(pairs.y);
  for (const auto operation : {fathom::Operation::kAdd, fathom::Operation::kMultiply})
    EXPECT_TRUE(same_numbers(number_result(operation, a, b), number_result(operation, b, a)));
  const Numbers ab = number_result(fathom::Operation::kSubtract, a, b);
  const Numbers ba = number_result(fathom::Operation::kSubtract, b, a);
  EXPECT_TRUE(same_numbers(ab, {{}, ba.sign.neg(), ba.log}));
  EXPECT_TRUE(
      same_numbers(number_result(fathom::Operation::kIdentity, a, b, {Clip::kClamp, 1}), a));

  std::vector<double> x, y;
  for (size_t i = 0; i < pairs.x.size(); ++i)
    if (pairs.y[i] != 0) x.push_back(pairs.x[i]), y.push_back(pairs.y[i]);
  const Numbers quotient =
      number_result(fathom::Operation::kDivide, sign_log_of(x), sign_log_of(y));
  const std::vector<double> again =
      numbers(number_result(fathom::Operation::kMultiply, quotient, sign_log_of(y)).value());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(again[i], x[i], 1e-13 * std::abs(x[i]));
}

// Whatever log a zero has, as a quotient by zero has one.
TEST(Arithmetic, ZerosAreZerosWhateverTheirLogs) {
  const Numbers zero = {{}, tensor_of({0, 0}, {2}), tensor_of({5, -3}, {2})};
  const Numbers other = {{}, tensor_of({0, 0}, {2}), tensor_of({2, 5}, {2})};
  const Numbers x = sign_log_of({8, -0.5});
  for (const auto operation : {fathom::Operation::kAdd, fathom::Operation::kSubtract}) {
    EXPECT_TRUE(same_numbers(number_result(operation, x, zero), x));
    EXPECT_TRUE(same_numbers(number_result(operation, zero, other), sign_log_of({0, 0})));
  }
  EXPECT_TRUE(same_numbers(number_result(fathom::Operation::kAdd, zero, x), x));
  EXPECT_TRUE(same_numbers(number_result(fathom::Operation::kSubtract, zero, x),
                           {{}, x.sign.neg(), x.log}));
  const Numbers quotient = number_result(fathom::Operation::kDivide, x, zero);
  EXPECT_TRUE(same_numbers(quotient, {{}, tensor_of({0, 0}, {2}), x.log}));
}

// Soft signs: of sums alike they are 1 or -1, of others those of the larger number.
TEST(Arithmetic, TakesSoftSigns) {
  const Numbers x = {{}, tensor_of({0.5, 0.5, -0.25}, {3}), tensor_of({1, 2, 3}, {3})};
  const Numbers y = {{}, tensor_of({0.25, -0.75, 0.5}, {3}), tensor_of({2, 1, 4}, {3})};
  EXPECT_EQ(numbers(number_result(fathom::Operation::kAdd, x, y).sign),
            (std::vector<double>{1, 0.5, 0.5}));
  EXPECT_EQ(numbers(number_result(fathom::Operation::kSubtract, x, y).sign),
            (std::vector<double>{-0.25, 1, -1}));
  EXPECT_EQ(numbers(number_result(fathom::Operation::kMultiply, x, y).sign),
            (std::vector<double>{0.125, -0.375, -0.125}));
}

TEST(Arithmetic, DividesByZeroIntoAFiniteFallback) {
  ArithmeticCounts counts;
  const Numbers quotient = dag::apply(fathom::Operation::kDivide, sign_log_of({8, 8, 0}),
                                      sign_log_of({0, 2, 0}), {}, &counts);
  EXPECT_EQ(numbers(quotient.sign), (std::vector<double>{0, 1, 0}));
  EXPECT_EQ(numbers(quotient.log),
            (std::vector<double>{std::log(8), std::log(8) - std::log(2), 0}));
  EXPECT_EQ(counts.divided_by_zero, 2);
  EXPECT_EQ(counts.nonfinite, 0);
}

TEST(Arithmetic, TheClampKeepsOrderAndCountsWhatItHolds) {
  std::vector<double> logs;
  for (int i = -40; i <= 40; ++i) logs.push_back(2.5 * i);  // to 100, which twice is 200
  const auto n = static_cast<int64_t>(logs.size());
  const Tensor log = tensor_of(logs, {n}).set_requires_grad(true);
  const Numbers x = {{}, tensor_of(std::vector<double>(logs.size(), 1), {n}), log};
  ArithmeticCounts counts;
  const Numbers square =
      dag::apply(fathom::Operation::kMultiply, x, x, {Clip::kClamp, 60}, &counts);
  backward(square.log.sum());
  const std::vector<double> held = numbers(square.log), slope = numbers(log.grad());
  int64_t beyond = 0;
  for (size_t i = 0; i < logs.size(); ++i) {
    EXPECT_LE(std::abs(held[i]), 60);
    EXPECT_LE(i > 0 ? held[i - 1] : -60, held[i]);
    if (std::abs(2 * logs[i]) > 60) ++beyond;
    EXPECT_EQ(held[i], std::min(60.0, std::max(-60.0, 2 * logs[i])));
    EXPECT_EQ(slope[i], std::abs(2 * logs[i]) > 60 ? 0 : 2);
  }
  EXPECT_EQ(counts.clamped, beyond);
  EXPECT_GT(beyond, 0);
  ArithmeticCounts soft;
  const Numbers tanh = dag::apply(fathom::Operation::kMultiply, x, x, {Clip::kTanh, 60}, &soft);
  EXPECT_NEAR(numbers(tanh.log).back(), 60 * std::tanh(200.0 / 60), 1e-12);
  EXPECT_EQ(soft.clamped, 0);
}

// ---- gradients ----

Tensor number_leaf(const std::vector<double>& values) {
  return tensor_of(values, {static_cast<int64_t>(values.size())}).set_requires_grad(true);
}

// Signs of both kinds, logs apart by a tenth at least and within the limit.
TEST(ArithmeticGradients, AreThoseOfDifferences) {
  const Tensor sx = number_leaf({0.9, -0.4, 0.7, -1, 0.3, 0.8}),
               lx = number_leaf({1, -2, 0.5, 3, -0.1, 2});
  const Tensor sy = number_leaf({0.6, 0.5, -0.2, -0.8, 1, -1}),
               ly = number_leaf({0.9, -1, 3, 2, 1, -2});
  const Tensor of_sign = tensor_of({1, -2, 0.5, 0.3, 1.5, -1}, {6});
  const Tensor of_log = tensor_of({0.7, 1, -1, 2, 0.4, -0.6}, {6});
  for (const fathom::Operation operation : kOperations)
    for (const Clip clip : {Clip::kClamp, Clip::kTanh, Clip::kNone}) {
      SCOPED_TRACE(static_cast<int>(operation));
      const auto f = [&] {
        const Numbers z = number_result(operation, {{}, sx, lx}, {{}, sy, ly}, {clip, 10});
        return (of_sign * z.sign + of_log * z.log).sum();
      };
      std::vector<Tensor> leaves = {sx, lx};
      if (!is_unary(operation)) leaves.insert(leaves.end(), {sy, ly});
      expect_gradients(f, leaves, 6);
    }
}

TEST(ArithmeticGradients, OfTheLinearDomainAreThoseOfDifferences) {
  const Tensor x = number_leaf({0.9, -4, 7, -1, 0}), y = number_leaf({0.6, 1.5, -2, -8, 3});
  const Tensor weight = tensor_of({1, -2, 0.5, 0.3, 1.5}, {5});
  for (const fathom::Operation operation : kOperations) {
    const auto f = [&] {
      return (weight * number_result(operation, {x, {}, {}}, {y, {}, {}}, {}).real).sum();
    };
    std::vector<Tensor> leaves = {x};
    if (!is_unary(operation)) leaves.push_back(y);
    expect_gradients(f, leaves, 5);
  }
}

// All pairs of numbers that are a special case of some formula.
Numbers special_numbers(at::ScalarType type, double limit, bool first) {
  std::vector<double> sign, log;
  const std::vector<double> signs = {-1, -0.5, -1e-30, 0, 1e-30, 1};
  const std::vector<double> logs = {-limit, -1e-7, -1e-40, 0, 1e-40, 1e-7, 1, limit};
  for (const double s1 : signs)
    for (const double l1 : logs)
      for (const double s2 : signs)
        for (const double l2 : logs)
          sign.push_back(first ? s1 : s2), log.push_back(first ? l1 : l2);
  const auto n = static_cast<int64_t>(sign.size());
  const Numbers x = of_type({{}, tensor_of(sign, {n}), tensor_of(log, {n})}, type);
  return {{}, x.sign.set_requires_grad(true), x.log.set_requires_grad(true)};
}

bool all_finite(const Tensor& x) {
  return !x.defined() || at::isfinite(x).all().item<bool>();
}

TEST(ArithmeticGradients, AreFiniteAtTiesZerosAndLimits) {
  for (const auto type : {at::kFloat, at::kDouble})
    for (const fathom::Operation operation : kOperations)
      for (const Clip clip : {Clip::kClamp, Clip::kTanh, Clip::kNone}) {
        const double limit = type == at::kDouble ? 600 : 60;
        const Numbers x = special_numbers(type, limit, true),
                      y = special_numbers(type, limit, false);
        ArithmeticCounts counts;
        const Numbers z = dag::apply(operation, x, y, {clip, limit}, &counts);
        backward(z.sign.sum() + z.log.sum());
        EXPECT_TRUE(all_finite(z.sign) && all_finite(z.log)) << static_cast<int>(operation);
        EXPECT_EQ(counts.nonfinite, 0);
        for (const Tensor& leaf : {x.sign, x.log, y.sign, y.log})
          EXPECT_TRUE(all_finite(leaf.grad())) << static_cast<int>(operation);
      }
}

TEST(ArithmeticGradients, OfWhatCancelsAreZero) {
  const Tensor sx = number_leaf({1}), lx = number_leaf({2}), sy = number_leaf({-1}),
               ly = number_leaf({2});
  const Numbers z = number_result(fathom::Operation::kAdd, {{}, sx, lx}, {{}, sy, ly});
  backward(z.sign.sum() + z.log.sum());
  for (const Tensor& leaf : {sx, lx, sy, ly}) EXPECT_EQ(leaf.grad().item<double>(), 0);
}

// ---- the linear domain ----

TEST(LinearArithmetic, IsThatOfRealNumbers) {
  const Pairs pairs(1000, 5);
  const ArithmeticOptions options = {Clip::kClamp, 600};
  for (const fathom::Operation operation : kOperations) {
    const std::vector<double> actual =
        numbers(number_result(operation, linear_of(pairs.x), linear_of(pairs.y), options).real);
    // Both of these go through logarithms.
    const bool rounds =
        operation == fathom::Operation::kPower || operation == fathom::Operation::kLog;
    for (size_t i = 0; i < actual.size(); ++i) {
      const double x = pairs.x[i], y = pairs.y[i];
      const double expected =
          divides_by_zero(operation, x, y)
              ? 0
              : rounded_result(operation, rounded_once(x), rounded_once(y)).value;
      EXPECT_NEAR(actual[i], expected, rounds ? 1e-12 * std::abs(expected) : 0) << x << ", " << y;
    }
  }
}

TEST(LinearArithmetic, DividesByALittleWithItsSign) {
  const Tensor x = number_leaf({1, 1, 3, 1}), y = number_leaf({1e-9, -1e-12, 0, -2});
  ArithmeticCounts counts;
  const Numbers z = dag::apply(fathom::Operation::kDivide, {x, {}, {}}, {y, {}, {}}, {}, &counts);
  EXPECT_EQ(numbers(z.real), (std::vector<double>{1 / 1e-8, -1 / 1e-8, 0, -0.5}));
  EXPECT_EQ(counts.divided_by_zero, 1);
  backward(z.real.sum());
  EXPECT_EQ(numbers(x.grad()), (std::vector<double>{1 / 1e-8, -1 / 1e-8, 0, -0.5}));
  EXPECT_EQ(numbers(y.grad()), (std::vector<double>{0, 0, 0, -0.25}));
}

TEST(LinearArithmetic, ClampsAndCounts) {
  ArithmeticCounts counts;
  const Numbers z = dag::apply(fathom::Operation::kMultiply, linear_of({1e3, -1e3, 2}),
                               linear_of({1e3, 1e3, 3}), {Clip::kClamp, 10}, &counts);
  EXPECT_EQ(numbers(z.real), (std::vector<double>{std::exp(10), -std::exp(10), 6}));
  EXPECT_EQ(counts.clamped, 2);
  ArithmeticCounts sum;
  dag::apply(fathom::Operation::kAdd, linear_of({2, 0, 1}), linear_of({-2, 0, 1}), {}, &sum);
  EXPECT_EQ(sum.cancelled, 1);
}

TEST(Arithmetic, CountsWhatIsNotFinite) {
  ArithmeticCounts counts;
  dag::apply(fathom::Operation::kMultiply, linear_of({1e200, 1}), linear_of({1e200, 1}), kUnclipped,
             &counts);
  EXPECT_EQ(counts.nonfinite, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Numbers x = {{}, tensor_of({1, nan}, {2}), tensor_of({1, 1}, {2})};
  dag::apply(fathom::Operation::kMultiply, x, x, {}, &counts);
  EXPECT_EQ(counts.nonfinite, 2);
  EXPECT_EQ(counts.results, 4);
}

TEST(Arithmetic, OfHalfPrecisionIsComputedInSingle) {
  const Numbers x = of_type(sign_log_of({300, -7, 0.01}), at::kBFloat16);
  const Numbers y = of_type(sign_log_of({-299, 5, 0.02}), at::kBFloat16);
  for (const fathom::Operation operation : kOperations) {
    const Numbers z = number_result(operation, x, y);
    EXPECT_EQ(z.log.scalar_type(), at::kFloat);
    EXPECT_TRUE(
        same_numbers(z, number_result(operation, of_type(x, at::kFloat), of_type(y, at::kFloat))));
  }
}

TEST(Arithmetic, JoinsNumbersOfOneDomain) {
  EXPECT_THROW(number_result(fathom::Operation::kAdd, linear_of({1}), sign_log_of({1})), Error);
}

}  // namespace
}  // namespace fathom::testing::dag_arithmetic
