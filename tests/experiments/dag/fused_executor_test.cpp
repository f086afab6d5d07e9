// Programs in one pass over the rows, against their plain definition in double precision: values,
// gradients, counts.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "experiments/dag/executors.h"
#include "fathom/ops/ops.h"
#include "ops/testing.h"

namespace fathom::dag {
namespace {

using fathom::testing::numbers;
using fathom::testing::random_normal;
using fathom::testing::random_tokens;
using fathom::testing::same_bits;

const std::vector<Operation> kAll(kOperations.begin(), kOperations.end());
constexpr auto kNames = static_cast<int64_t>(kOperations.size());

// What programs are run with; operands are undefined for a stack. Single precision, so that both
// precisions are given the same numbers.
struct ProgramCase {
  Tensor sign, log, operand1, operand2, op;
  ExecutorOptions options;

  bool is_stack() const { return !operand1.defined(); }
  std::vector<Tensor> inputs() const { return {sign, log, operand1, operand2, op}; }
};

struct ProgramResult {
  std::vector<Tensor> steps;      // sign and log of each
  std::vector<Tensor> gradients;  // of the inputs
  ArithmeticCounts counts;
};

using Shape = std::vector<int64_t>;

enum class Form { kPlain, kFused };

Executed run_form(Form form, const ProgramCase& c, const std::vector<Tensor>& in) {
  const Numbers values = {{}, in[0], in[1]};
  if (c.is_stack())
    return (form == Form::kFused ? fused_run_stack : plain_run_stack)(values, in[4], c.options);
  return (form == Form::kFused ? fused_run_scratch : plain_run_scratch)(values, in[2], in[3], in[4],
                                                                        c.options);
}

// Under a loss that reads every step's result, each by weights of its own.
ProgramResult run_case(Form form, const ProgramCase& c, at::ScalarType type) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : c.inputs())
    leaves.push_back(x.defined() ? x.to(type).clone().set_requires_grad(true) : x);
  const Executed executed = run_form(form, c, leaves);
  ProgramResult result;
  result.counts = executed.counts;
  Tensor loss = at::zeros({}, at::TensorOptions(type));
  for (const Numbers& step : executed.steps)
    for (const Tensor& part : {step.sign, step.log}) {
      const auto seed = static_cast<unsigned>(result.steps.size());
      result.steps.push_back(part.detach());
      loss = loss + (part * random_normal(part.sizes(), 100 + seed).to(type)).sum();
    }
  EXPECT_TRUE(same_bits(executed.value.sign, executed.steps.back().sign));
  EXPECT_TRUE(same_bits(executed.value.log, executed.steps.back().log));
  fathom::testing::backward(loss);
  for (const Tensor& x : leaves)
    if (x.defined()) result.gradients.push_back(x.grad());
  return result;
}

// Elements of the first (R, ...) by row: the largest difference from the second, by the larger of 1
// and the row's largest number.
std::vector<double> row_errors(const Tensor& actual, const Tensor& truth) {
  const int64_t R = truth.size(0);
  const std::vector<double> a = numbers(actual), b = numbers(truth);
  const size_t width = R == 0 ? 0 : a.size() / static_cast<size_t>(R);
  std::vector<double> errors;
  for (size_t r = 0; r < static_cast<size_t>(R); ++r) {
    double largest = 1, error = 0;
    for (size_t i = r * width; i < (r + 1) * width; ++i) {
      EXPECT_TRUE(std::isfinite(a[i])) << "row " << r;
      largest = std::max(largest, std::abs(b[i]));
      error = std::max(error, std::abs(a[i] - b[i]));
    }
    errors.push_back(error / largest);
  }
  return errors;
}

// The same case with numbers that differ as rounding would have it. Equal numbers of a row stay
// equal, and operands that are the same stay the same: a number less itself is 0.
ProgramCase shaken(const ProgramCase& c, unsigned seed) {
  const auto other = [&](const Tensor& x, at::IntArrayRef noise) {
    if (!x.defined()) return x;
    return x.to(at::kDouble) * (1 + 3e-7 * random_normal(noise, seed));
  };
  const int64_t R = c.sign.size(0);
  const Shape by_row = c.is_stack() ? Shape{R, 1} : Shape{R};
  const auto sizes = [](const Tensor& x) { return x.defined() ? x.sizes() : at::IntArrayRef(); };
  return {other(c.sign, by_row),
          other(c.log, by_row),
          other(c.operand1, sizes(c.operand1)),
          other(c.operand2, sizes(c.operand2)),
          other(c.op, sizes(c.op)),
          c.options};
}

// What two close magnitudes differ by is known the worse the closer they are. Rows whose truth
// moves when it is shaken, or that the plain definition does not find in single precision, are left
// out.
class ProgramTwins {
 public:
  void compare(const ProgramCase& c) {
    const ProgramResult truth = run_case(Form::kPlain, c, at::kDouble);
    const ProgramResult fused = run_case(Form::kFused, c, at::kFloat);
    std::vector<ProgramResult> others = {run_case(Form::kPlain, c, at::kFloat)};
    for (const unsigned seed : {900, 901})
      others.push_back(run_case(Form::kPlain, shaken(c, seed), at::kDouble));
    for (const auto& [parts, tolerance] :
         {std::pair(&ProgramResult::steps, 1e-5), {&ProgramResult::gradients, 1e-4}})
      for (size_t i = 0; i < (truth.*parts).size(); ++i) {
        const Tensor& expected = (truth.*parts)[i];
        ASSERT_EQ((fused.*parts)[i].sizes(), expected.sizes());
        const std::vector<double> error = row_errors((fused.*parts)[i], expected);
        std::vector<double> moves(error.size(), 0);
        for (const ProgramResult& other : others) {
          const std::vector<double> move = row_errors((other.*parts)[i], expected);
          for (size_t r = 0; r < error.size(); ++r) moves[r] = std::max(moves[r], move[r]);
        }
        for (size_t r = 0; r < error.size(); ++r, ++all_) {
          if (moves[r] > tolerance / 10) continue;
          ++compared_;
          EXPECT_LE(error[r], tolerance)
              << (tolerance == 1e-5 ? "part " : "gradient ") << i << ", row " << r;
        }
      }
  }

  double share_compared() const { return double(compared_) / double(all_); }

 private:
  int64_t compared_ = 0, all_ = 0;
};

Tensor soft_shares(at::IntArrayRef shape, double sharpness, unsigned seed) {
  return at::softmax(sharpness * random_normal(shape, seed), -1).to(at::kFloat);
}

Tensor one_hot_shares(at::IntArrayRef shape, unsigned seed) {
  const Tensor chosen = random_tokens(shape.slice(0, shape.size() - 1), shape.back(), seed);
  return at::one_hot(chosen, shape.back()).to(at::kFloat);
}

// Shares of (R, D, S) that are 0 for slots that a step does not have yet.
Tensor seen_shares(const Tensor& shares_RDS) {
  const Tensor seen = at::tril(shares_RDS + 1e-3);
  return seen / seen.sum(-1, true);
}

// Signs in [-1, 1], a part of which is -1, 0 and 1; logs, a part of which is equal or far apart.
Numbers mixed_values(at::IntArrayRef shape, unsigned seed) {
  const Tensor kind = random_tokens(shape, 8, seed), s = random_normal(shape, seed + 1).tanh();
  const Tensor l = 3 * random_normal(shape, seed + 2);
  const Tensor sign = at::where(kind == 0, at::zeros(shape), at::where(kind < 4, s.sign(), s));
  const Tensor log = at::where(kind == 7, 59 * l.sign(), at::where(kind == 1, at::zeros(shape), l));
  return {{}, sign.to(at::kFloat), log.to(at::kFloat)};
}

ProgramCase random_case(bool stack, int64_t R, int64_t D, bool soft, unsigned seed) {
  ProgramCase c;
  c.options.operations = kAll;
  const Numbers values = stack ? mixed_values({R, D + 1}, seed) : mixed_values({R}, seed);
  c.sign = values.sign, c.log = values.log;
  const auto shares = [&](int64_t width, unsigned salt) {
    return soft ? soft_shares({R, D, width}, 2, seed + salt)
                : one_hot_shares({R, D, width}, seed + salt);
  };
  c.op = shares(kNames, 10);
  if (!stack) {
    c.operand1 = seen_shares(shares(D + 1, 11)), c.operand2 = seen_shares(shares(D + 1, 12));
  }
  return c;
}

TEST(FusedExecutor, RandomProgramsAreTwins) {
  unsigned seed = 0;
  ProgramTwins twins;
  for (const bool stack : {true, false})
    for (const bool soft : {true, false})
      for (const auto& [R, D] :
           std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 2}, {45, 4}, {33, 6}, {0, 2}})
        for (const Clip clip : {Clip::kClamp, Clip::kTanh, Clip::kNone}) {
          SCOPED_TRACE(fmt::format("stack {}, soft {}, R {}, D {}, clip {}", stack, soft, R, D,
                                   static_cast<int>(clip)));
          ProgramCase c = random_case(stack, R, D, soft, ++seed * 50);
          c.options.arithmetic = {clip, clip == Clip::kTanh ? 10.0 : 60.0};
          twins.compare(c);
        }
  EXPECT_GE(twins.share_compared(), 0.85);
}

// (n^2, 2): every pair of n numbers.
Tensor pairs_of(const std::vector<double>& values) {
  std::vector<double> pairs;
  for (const double x : values)
    for (const double y : values) pairs.insert(pairs.end(), {x, y});
  return fathom::testing::tensor_of(pairs, {static_cast<int64_t>(pairs.size() / 2), 2})
      .to(at::kFloat);
}

// Zeros, equal numbers and neighbours, limits and what is beyond: every pair of them, each
// operation.
ProgramCase every_pair(size_t operation, const ArithmeticOptions& arithmetic) {
  std::vector<double> signs, logs;
  for (const double sign : {-1.0, -0.5, 0.0, 0.3, 1.0})
    for (const double log : {-60.0, -59.0, -3.0, 0.0, 0.5, 0.5 + std::exp2(-24), 3.0, 59.0, 60.0})
      signs.push_back(sign), logs.push_back(log);
  ProgramCase c;
  c.sign = pairs_of(signs), c.log = pairs_of(logs);
  c.op = at::zeros({c.sign.size(0), 1, kNames});
  c.op.select(2, static_cast<int64_t>(operation)).fill_(1);
  c.options.operations = kAll;
  c.options.arithmetic = arithmetic;
  c.options.count = true;
  return c;
}

void expect_same_counts(const ArithmeticCounts& a, const ArithmeticCounts& b) {
  EXPECT_EQ(a.results, b.results);
  EXPECT_EQ(a.clamped, b.clamped);
  EXPECT_EQ(a.cancelled, b.cancelled);
  EXPECT_EQ(a.divided_by_zero, b.divided_by_zero);
  EXPECT_EQ(a.nonfinite, b.nonfinite);
}

TEST(FusedExecutor, ZerosTiesAndLimitsAreTwins) {
  for (size_t operation = 0; operation < kAll.size(); ++operation)
    for (const ArithmeticOptions& arithmetic :
         {ArithmeticOptions{Clip::kClamp, 60}, {Clip::kTanh, 10}, {Clip::kNone, 60}}) {
      const ProgramCase c = every_pair(operation, arithmetic);
      const ProgramResult truth = run_case(Form::kPlain, c, at::kDouble);
      const ProgramResult fused = run_case(Form::kFused, c, at::kFloat);
      const auto compare = [&](const Tensor& actual, const Tensor& expected, double tolerance) {
        const std::vector<double> error = row_errors(actual, expected);
        for (size_t r = 0; r < error.size(); ++r)
          ASSERT_LE(error[r], tolerance)
              << "operation " << operation << ", clip " << static_cast<int>(arithmetic.clip)
              << ", values " << c.sign[int64_t(r)] << c.log[int64_t(r)];
      };
      for (size_t i = 0; i < truth.steps.size(); ++i) compare(fused.steps[i], truth.steps[i], 1e-6);
      for (size_t i = 0; i < truth.gradients.size(); ++i)
        compare(fused.gradients[i], truth.gradients[i], 1e-6);
      expect_same_counts(fused.counts, truth.counts);
      EXPECT_GT(fused.counts.cancelled, 0);
      EXPECT_GT(fused.counts.divided_by_zero, 0);
    }
}

TEST(FusedExecutor, CountsAsThePlainDefinitionDoes) {
  for (const bool stack : {true, false}) {
    ProgramCase c = random_case(stack, 203, 4, /*soft=*/false, 7);
    c.options.arithmetic.log_limit = 5;
    std::reverse(c.options.operations.begin(), c.options.operations.end());
    c.log[5].fill_(NAN), c.log[200].fill_(INFINITY);
    EXPECT_EQ(run_form(Form::kFused, c, c.inputs()).counts.results, 0);
    c.options.count = true;
    const ArithmeticCounts fused = run_form(Form::kFused, c, c.inputs()).counts;
    expect_same_counts(fused, run_form(Form::kPlain, c, c.inputs()).counts);
    EXPECT_EQ(fused.results, 203 * 4 * kNames);
    EXPECT_GT(fused.clamped, 100);
    EXPECT_GT(fused.nonfinite, 10);
  }
}

// A guard of the trainer has to see it.
TEST(FusedExecutor, WhatIsNoNumberStaysNone) {
  for (size_t operation = 0; operation < kAll.size(); ++operation)
    for (const bool log : {true, false})
      for (const int64_t operand : {0, 1}) {
        ProgramCase c = random_case(/*stack=*/true, 6, 1, /*soft=*/false, 9);
        c.sign = at::full({6, 2}, 0.5f);
        c.sign[1][0].zero_(), c.sign[2][1].zero_();
        c.log = random_normal({6, 2}, 2).to(at::kFloat);
        c.op = at::zeros({6, 1, kNames}), c.op.select(2, int64_t(operation)).fill_(1);
        (log ? c.log : c.sign).select(1, operand).fill_(NAN);
        const Numbers value = run_form(Form::kFused, c, c.inputs()).value;
        const Numbers plain = run_form(Form::kPlain, c, c.inputs()).value;
        EXPECT_TRUE(same_bits(value.sign.isnan(), plain.sign.isnan())) << operation << log;
        EXPECT_TRUE(same_bits(value.log.isnan(), plain.log.isnan())) << operation << log;
      }
}

TEST(FusedExecutor, SameBitsForAnyNumberOfThreadsAndRows) {
  const int threads = at::get_num_threads();
  for (const bool stack : {true, false}) {
    ProgramCase c = random_case(stack, 1003, 4, /*soft=*/true, 3);
    c.options.count = true;
    at::set_num_threads(1);
    const ProgramResult one = run_case(Form::kFused, c, at::kFloat);
    at::set_num_threads(2);
    const ProgramResult two = run_case(Form::kFused, c, at::kFloat);
    at::set_num_threads(threads);
    for (Tensor* x : {&c.sign, &c.log, &c.operand1, &c.operand2, &c.op})
      if (x->defined()) *x = x->narrow(0, 0, 37);
    const ProgramResult few = run_case(Form::kFused, c, at::kFloat);
    const auto compare = [&](std::vector<Tensor> ProgramResult::*parts) {
      for (size_t i = 0; i < (one.*parts).size(); ++i) {
        EXPECT_TRUE(same_bits((one.*parts)[i], (two.*parts)[i])) << i;
        EXPECT_TRUE(same_bits((one.*parts)[i].narrow(0, 0, 37), (few.*parts)[i])) << i;
      }
    };
    compare(&ProgramResult::steps);
    compare(&ProgramResult::gradients);
    expect_same_counts(one.counts, two.counts);
  }
}

// Parts of one wide tensor, as a planner gives them, and a loss that reads one part of one step.
TEST(FusedExecutor, TakesPartsOfTensorsAndGivesTheGradientsThatAreWanted) {
  const int64_t R = 9, D = 3, S = D + 1;
  const auto gradients = [&](Form form, at::ScalarType type) {
    const Tensor wide = random_normal({R, D, 2 * S + kNames}, 1).to(type).set_requires_grad(true);
    const Tensor sign = random_normal({R, 2}, 2).tanh().to(type);
    const Tensor log = random_normal({R, 2}, 3).to(type).set_requires_grad(true);
    const auto share = [&](int64_t begin, int64_t width) {
      return wide.narrow(2, begin, width).abs();
    };
    ProgramCase c;
    c.options.operations = kAll;
    const Executed executed = run_form(
        form, {{}, {}, sign, {}, {}, c.options},
        {sign.select(1, 0), log.select(1, 1), share(0, S), share(S, S), share(2 * S, kNames)});
    fathom::testing::backward(executed.steps[1].log.sum());
    EXPECT_FALSE(sign.grad().defined());
    return std::vector<Tensor>{wide.grad(), log.grad()};
  };
  const auto fused = gradients(Form::kFused, at::kFloat);
  const auto plain = gradients(Form::kPlain, at::kDouble);
  for (size_t i = 0; i < plain.size(); ++i)
    for (const double error : row_errors(fused[i], plain[i])) EXPECT_LE(error, 1e-5);
}

TEST(FusedExecutor, IsTakenWhereItCanBe) {
  const ProgramCase c = random_case(/*stack=*/true, 5, 2, /*soft=*/true, 1);
  const auto has = [&](at::ScalarType type) {
    return has_fused_executor({{}, c.sign.to(type), c.log.to(type)}, c.options);
  };
  EXPECT_TRUE(has(at::kFloat));
  EXPECT_FALSE(has(at::kDouble));
  EXPECT_FALSE(has_fused_executor({c.sign, {}, {}}, c.options));
  {
    const PlainOperations plain;
    EXPECT_FALSE(has(at::kFloat));
  }
  const Numbers values = {{}, c.sign, c.log};
  const Numbers taken = run_stack(values, c.op, c.options).value;
  EXPECT_TRUE(same_bits(taken.log, fused_run_stack(values, c.op, c.options).value.log));
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(same_bits(taken.log, run_stack(values, c.op, c.options).value.log));
}

TEST(FusedExecutor, RefusesWhatItWouldReadBeyond) {
  const ProgramCase c = random_case(/*stack=*/false, 5, 2, /*soft=*/true, 1);
  const auto run = [&](const std::vector<Tensor>& in) { run_form(Form::kFused, c, in); };
  EXPECT_NO_THROW(run(c.inputs()));
  for (size_t i = 0; i < 5; ++i) {
    std::vector<Tensor> in = c.inputs();
    in[i] = in[i].narrow(0, 0, 4);
    EXPECT_THROW(run(in), c10::Error) << i;
  }
}

TEST(FusedExecutor, AProgramWithoutOperationsGivesItsValue) {
  const Numbers value = mixed_values({3, 1}, 1);
  ExecutorOptions options;
  options.operations = kAll;
  const Executed executed = fused_run_stack(value, at::zeros({3, 0, kNames}), options);
  EXPECT_TRUE(executed.steps.empty());
  EXPECT_TRUE(same_bits(executed.value.log, value.log.select(1, 0)));
}

}  // namespace
}  // namespace fathom::dag
