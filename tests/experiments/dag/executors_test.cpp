// Programs of the executors against an evaluator of their own, and what a step may see.
#include "experiments/dag/executors.h"

#include <ATen/ops/full.h>
#include <ATen/ops/softmax.h>

#include "errors.h"
#include "experiments/dag/numbers.h"
#include "experiments/dag/select.h"
#include "fathom/train/batches.h"

namespace fathom::testing::dag_executors {
namespace {

using dag::Executed;
using dag::ExecutorOptions;
using dag::Numbers;

using Indices = std::vector<int64_t>;

ExecutorOptions executor_options(const std::vector<fathom::Operation>& operations = {
                                     kOperations.begin(), kOperations.end()}) {
  ExecutorOptions options;
  options.arithmetic.log_limit = 600;
  options.operations = operations;
  return options;
}

// What F.dag of the scratch notebook has.
const std::vector<fathom::Operation> kScratchOperations = {
    fathom::Operation::kAdd, fathom::Operation::kIdentity, fathom::Operation::kMultiply,
    fathom::Operation::kSubtract};

Indices random_indices(size_t n, int64_t most, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<int64_t> index(0, most);
  Indices indices;
  for (size_t i = 0; i < n; ++i) indices.push_back(index(generator));
  return indices;
}

std::vector<double> random_values(size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> uniform(-10, 10);
  std::vector<double> values;
  for (size_t i = 0; i < n; ++i) values.push_back(uniform(generator));
  return values;
}

Tensor random_shares(at::IntArrayRef shape, unsigned seed) {
  return at::softmax(random_normal(shape, seed), -1);
}

Tensor visible_shares(int64_t R, int64_t D, unsigned seed) {
  return dag::select(random_normal({R, D, D + 1}, seed), hidden_slots(D), {});
}

// Within a thousand times what rounding of its steps may do.
void expect_close_to(const std::vector<double>& actual, const std::vector<Rounded>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    ASSERT_LE(std::abs(actual[i] - expected[i].value), 1e3 * expected[i].error) << i;
}

// ---- the stack ----

constexpr auto kNames = static_cast<int64_t>(kOperations.size());

double folded(const std::vector<double>& values, const Indices& operations) {
  const auto D = static_cast<int64_t>(operations.size());
  const Numbers stack = shaped(sign_log_of(values), {1, D + 1});
  return dag::plain_run_stack(stack, one_hot(operations, {1, D, kNames}), executor_options())
      .value.value()
      .item<double>();
}

// a, b, c and o1, o2: a o2 (b o1 c).
TEST(StackExecutor, JoinsTheTopmostTwoTheDeeperOneFirst) {
  EXPECT_NEAR(folded({2, 3, 4}, {0, 2}), 2 * (3 + 4), 1e-12);
  EXPECT_NEAR(folded({10, 2, -3}, {1, 3}), 10 / (2.0 - -3), 1e-12);
  EXPECT_NEAR(folded({10, 2, -3}, {3, 1}), 10 - 2 / -3.0, 1e-12);
  EXPECT_NEAR(folded({7, 5, 4}, {4, 0}), 7 + 5, 1e-12);  // identity drops the top
  EXPECT_NEAR(folded({7, 5, 4}, {0, 4}), 7, 1e-12);
  EXPECT_NEAR(folded({-0.25}, {}), -0.25, 1e-15);
}

struct StackPrograms {
  // Of the first `names` of kOperations.
  StackPrograms(int64_t R_, int64_t D_, size_t names) : R(R_), D(D_) {
    values = random_values(static_cast<size_t>(R * (D + 1)), 1);
    operations = random_indices(static_cast<size_t>(R * D), static_cast<int64_t>(names) - 1, 2);
  }
  Numbers stack() const { return shaped(sign_log_of(values), {R, D + 1}); }
  Tensor shares() const { return one_hot(operations, {R, D, kNames}); }
  // Of all rows after each operation.
  std::vector<std::vector<Rounded>> steps() const {
    std::vector<std::vector<Rounded>> all(static_cast<size_t>(D));
    for (int64_t r = 0; r < R; ++r) {
      std::vector<Rounded> stack;
      for (int64_t i = 0; i <= D; ++i)
        stack.push_back(rounded_once(values[static_cast<size_t>(r * (D + 1) + i)]));
      for (int64_t k = 0; k < D; ++k) {
        const Rounded top = stack.back();
        stack.pop_back();
        const int64_t operation = operations[static_cast<size_t>(r * D + k)];
        stack.back() =
            rounded_result(kOperations[static_cast<size_t>(operation)], stack.back(), top);
        all[static_cast<size_t>(k)].push_back(stack.back());
      }
    }
    return all;
  }

  int64_t R, D;
  std::vector<double> values;
  Indices operations;
};

TEST(StackExecutor, RunsRandomProgramsAsAnEvaluatorDoes) {
  for (const size_t names : {kOperations.size(), kWrittenOperations.size()}) {
    const StackPrograms programs(2000, 6, names);
    const Executed executed =
        dag::plain_run_stack(programs.stack(), programs.shares(), executor_options());
    const auto expected = programs.steps();
    ASSERT_EQ(executed.steps.size(), expected.size());
    for (size_t k = 0; k < expected.size(); ++k)
      expect_close_to(numbers(executed.steps[k].value()), expected[k]);
    EXPECT_TRUE(same_numbers(executed.steps.back(), executed.value));
  }

  // There powers of what is near 0 are others.
  const StackPrograms programs(2000, 6, kWrittenOperations.size());
  const auto expected = programs.steps();
  const Numbers linear = {tensor_of(programs.values, {programs.R, programs.D + 1}), {}, {}};
  const Executed real = dag::plain_run_stack(linear, programs.shares(), executor_options());
  expect_close_to(numbers(real.value.real), expected.back());
}

TEST(StackExecutor, OneHotSharesGiveTheOperationItself) {
  const std::vector<double> both = wide_values(4000, 6);
  const Numbers stack = shaped(sign_log_of(both), {2000, 2});
  const auto at_slot = [&](int64_t i) -> Numbers {
    return {{}, stack.sign.select(1, i), stack.log.select(1, i)};
  };
  const ExecutorOptions options = executor_options();
  for (size_t i = 0; i < kOperations.size(); ++i) {
    const Tensor share = one_hot(Indices(2000, static_cast<int64_t>(i)), {2000, 1, kNames});
    EXPECT_TRUE(same_numbers(
        dag::plain_run_stack(stack, share, options).value,
        dag::apply(kOperations[i], at_slot(0), at_slot(1), options.arithmetic, nullptr)));
  }
}

// s and l each: a quarter of 6 * 2 and three quarters of 6.
TEST(Executors, MixResultsByTheirShares) {
  const ExecutorOptions options =
      executor_options({fathom::Operation::kMultiply, fathom::Operation::kIdentity});
  const Tensor share = tensor_of({0.25, 0.75}, {1, 1, 2});
  const Executed executed =
      dag::plain_run_stack(shaped(sign_log_of({6, -2}), {1, 2}), share, options);
  EXPECT_NEAR(executed.value.sign.item<double>(), 0.25 * -1 + 0.75, 1e-15);
  EXPECT_NEAR(executed.value.log.item<double>(), 0.25 * std::log(12) + 0.75 * std::log(6), 1e-14);
  const Executed real = dag::plain_run_stack(shaped(linear_of({6, -2}), {1, 2}), share, options);
  EXPECT_NEAR(real.value.real.item<double>(), 0.25 * -12 + 0.75 * 6, 1e-14);
}

TEST(Executors, RefuseShapesThatDoNotFit) {
  const ExecutorOptions options = executor_options();
  const Tensor shares = random_shares({2, 3, kNames}, 1);
  const Numbers stack = shaped(sign_log_of({1, 2, 3, 4, 5, 6}), {2, 3});
  EXPECT_EQ(error_of([&] { dag::run_stack(stack, shares, options); }),
            "3 operations fold a stack of 4 values, not of 3");
  EXPECT_THROW(dag::run_stack(stack, shares.select(1, 0), options), Error);
  EXPECT_THROW(dag::run_stack(stack, random_shares({2, 2, 4}, 1), options), Error);
  EXPECT_THROW(dag::run_stack(stack, random_shares({3, 2, kNames}, 1), options), Error);
  EXPECT_THROW(dag::run_stack(sign_log_of({1, 2}), shares, options), Error);
  const Numbers first = sign_log_of({1, 2});
  const Tensor operands = visible_shares(2, 3, 1);
  EXPECT_NO_THROW(dag::run_scratch(first, operands, operands, shares, options));
  EXPECT_THROW(dag::run_scratch(first, operands, visible_shares(2, 2, 1), shares, options), Error);
  EXPECT_THROW(dag::run_scratch(stack, operands, operands, shares, options), Error);
}

// ---- the scratch list ----

TEST(ScratchExecutor, HasNoSharesOfLaterSlots) {
  const int64_t D = 4;
  const Tensor share_RDS = visible_shares(7, D, 1);
  EXPECT_EQ(share_RDS.sizes(), (at::IntArrayRef{7, D, D + 1}));
  EXPECT_LE(max_difference(share_RDS.sum(-1), at::full({7, D}, 1.0, share_RDS.options())), 1e-15);
  const std::vector<double> share = numbers(share_RDS);
  for (size_t i = 0; i < share.size(); ++i) {
    const auto slot = static_cast<int64_t>(i) % (D + 1),
               step = static_cast<int64_t>(i) / (D + 1) % D;
    EXPECT_EQ(share[i] == 0, slot > step) << i;
  }
}

TEST(ScratchExecutor, RunsOneHotPlansAsAnEvaluatorDoes) {
  const int64_t R = 1000, D = 5, S = D + 1;
  Indices first, second;
  for (int64_t i = 0; i < R * D; ++i) {
    first.push_back(random_indices(1, i % D, 10 + static_cast<unsigned>(i))[0]);
    second.push_back(random_indices(1, i % D, 90000 + static_cast<unsigned>(i))[0]);
  }
  const Indices operations = random_indices(static_cast<size_t>(R * D), 3, 3);
  const std::vector<double> begin = random_values(static_cast<size_t>(R), 4);
  const Executed executed = dag::plain_run_scratch(
      sign_log_of(begin), one_hot(first, {R, D, S}), one_hot(second, {R, D, S}),
      one_hot(operations, {R, D, 4}), executor_options(kScratchOperations));

  std::vector<Rounded> expected;
  for (int64_t r = 0; r < R; ++r) {
    std::vector<Rounded> slots = {rounded_once(begin[static_cast<size_t>(r)])};
    for (int64_t k = 0; k < D; ++k) {
      const auto i = static_cast<size_t>(r * D + k);
      slots.push_back(rounded_result(kScratchOperations[static_cast<size_t>(operations[i])],
                                     slots[static_cast<size_t>(first[i])],
                                     slots[static_cast<size_t>(second[i])]));
    }
    expected.push_back(slots.back());
  }
  expect_close_to(numbers(executed.value.value()), expected);
}

TEST(ScratchExecutor, OnlyAppends) {
  const int64_t R = 6, D = 4;
  const ExecutorOptions options = executor_options(kScratchOperations);
  const Numbers first = sign_log_of(random_values(R, 1));
  const Tensor a = visible_shares(R, D, 2), b = visible_shares(R, D, 3);
  const Tensor op = random_shares({R, D, 4}, 4);
  const Executed executed = dag::plain_run_scratch(first, a, b, op, options);
  ASSERT_EQ(executed.steps.size(), static_cast<size_t>(D));
  EXPECT_EQ(executed.value.log.sizes(), (at::IntArrayRef{R}));
  for (int64_t changed = 0; changed < D; ++changed) {
    const auto other = [&](const Tensor& share, const Tensor& by) {
      const Tensor copy = share.clone();
      copy.select(1, changed).copy_(by.select(1, changed));
      return copy;
    };
    const Executed after = dag::plain_run_scratch(first, other(a, visible_shares(R, D, 5)),
                                                  other(b, visible_shares(R, D, 6)),
                                                  other(op, random_shares({R, D, 4}, 7)), options);
    for (int64_t k = 0; k < D; ++k) {
      const auto step = static_cast<size_t>(k);
      EXPECT_EQ(same_numbers(after.steps[step], executed.steps[step]), k < changed);
    }
  }
}

// Whatever shares of later slots are, there is nothing there to be read.
TEST(ScratchExecutor, NeverReadsLaterSlots) {
  const int64_t R = 5, D = 3;
  const ExecutorOptions options = executor_options(kScratchOperations);
  const Numbers first = sign_log_of(random_values(R, 1));
  const Tensor a = visible_shares(R, D, 2), b = visible_shares(R, D, 3);
  const Tensor op = random_shares({R, D, 4}, 4);
  const Tensor noise = hidden_slots(D) * random_normal({R, D, D + 1}, 5);
  EXPECT_TRUE(same_numbers(dag::plain_run_scratch(first, a + noise, b - noise, op, options).value,
                           dag::plain_run_scratch(first, a, b, op, options).value));
}

// ---- both ----

TEST(Executors, RunNoRowsAndNoOperations) {
  const ExecutorOptions options = executor_options();
  const Tensor none = random_shares({0, 3, kNames}, 1), operands = visible_shares(0, 3, 2);
  const Numbers stack = shaped(sign_log_of({}), {0, 4});
  EXPECT_EQ(dag::plain_run_stack(stack, none, options).value.log.sizes(), (at::IntArrayRef{0}));
  EXPECT_EQ(
      dag::plain_run_scratch(sign_log_of({}), operands, operands, none, options).value.log.sizes(),
      (at::IntArrayRef{0}));
  const Numbers first = sign_log_of({3, -4});
  const Tensor no_shares = at::zeros({2, 0, 1}, at::TensorOptions(at::kDouble));
  const Executed executed = dag::plain_run_scratch(
      first, no_shares, no_shares, at::zeros({2, 0, kNames}, no_shares.options()), options);
  EXPECT_TRUE(same_numbers(executed.value, first));
  EXPECT_TRUE(executed.steps.empty());
}

Tensor weighted_steps(const Executed& executed, unsigned seed) {
  Tensor sum = at::zeros({}, at::TensorOptions(at::kDouble));
  for (const Numbers& step : executed.steps)
    for (const Tensor& part : {step.real, step.sign, step.log})
      if (part.defined()) sum = sum + (part * random_normal(part.sizes(), ++seed)).sum();
  return sum;
}

TEST(Executors, GradientsAreThoseOfDifferences) {
  const int64_t R = 3, D = 3;
  const Tensor op = random_shares({R, D, kNames}, 1).detach().set_requires_grad(true);
  const Tensor a = visible_shares(R, D, 2).detach().set_requires_grad(true);
  const Tensor b = visible_shares(R, D, 3).detach().set_requires_grad(true);
  const ExecutorOptions options = executor_options();
  const auto leaf = [](at::IntArrayRef shape, unsigned seed, double spread) {
    return (spread * random_normal(shape, seed).tanh()).set_requires_grad(true);
  };
  const Tensor sign = leaf({R, D + 1}, 4, 1), log = leaf({R, D + 1}, 5, 3);
  expect_gradients(
      [&] {
        return weighted_steps(dag::plain_run_stack({{}, sign, log}, op, options), 10);
      },
      {sign, log, op}, 45, 1e-5);
  const Tensor s = leaf({R}, 6, 1), l = leaf({R}, 7, 3), real = leaf({R}, 8, 2);
  // Step 0 has one slot, whose numbers are equal: a tie of subtract, where no difference is taken.
  const Tensor add_op = random_shares({R, D, 3}, 9).detach().set_requires_grad(true);
  const ExecutorOptions no_ties = executor_options(
      {fathom::Operation::kAdd, fathom::Operation::kMultiply, fathom::Operation::kIdentity});
  expect_gradients(
      [&] {
        return weighted_steps(dag::plain_run_scratch({{}, s, l}, a, b, add_op, no_ties), 20);
      },
      {s, l, a, b, add_op}, 36, 1e-5);
  const Tensor linear_op = random_shares({R, D, 4}, 9).detach().set_requires_grad(true);
  expect_gradients(
      [&] {
        return weighted_steps(dag::plain_run_scratch({real, {}, {}}, a, b, linear_op,
                                                     executor_options(kScratchOperations)),
                              30);
      },
      {real, a, b, linear_op}, 36, 1e-5);
}

TEST(Executors, CountOverStepsAndOperations) {
  ExecutorOptions options = executor_options();
  // 3 - 3 cancels and 2 / 0 is one by zero: identity first gives the top of the second row.
  const Numbers stack = shaped(sign_log_of({5, 3, 3, 5, 2, 0}), {2, 3});
  const Tensor op = one_hot({1, 0, 4, 0}, {2, 2, kNames});
  EXPECT_EQ(dag::plain_run_stack(stack, op, options).counts.results, 0);
  options.count = true;
  const dag::ArithmeticCounts counts = dag::plain_run_stack(stack, op, options).counts;
  EXPECT_EQ(counts.results, 2 * 2 * kNames);
  EXPECT_EQ(counts.cancelled, 1);
  EXPECT_EQ(counts.divided_by_zero, 2);  // 2 / 0, and 5 / (3 - 3)
  EXPECT_EQ(counts.clamped, 0);
  options.arithmetic.log_limit = 1;
  EXPECT_GT(dag::plain_run_stack(stack, op, options).counts.clamped, 0);
}

TEST(Executors, TakeThePlainDefinitionInDoublePrecision) {
  const int64_t R = 4, D = 3;
  const ExecutorOptions options = executor_options();
  const Tensor op = random_shares({R, D, kNames}, 1), a = visible_shares(R, D, 2);
  const Numbers stack = shaped(sign_log_of(random_values(R * (D + 1), 3)), {R, D + 1});
  EXPECT_TRUE(same_numbers(dag::run_stack(stack, op, options).value,
                           dag::plain_run_stack(stack, op, options).value));
  const Numbers first = sign_log_of(random_values(R, 4));
  EXPECT_TRUE(same_numbers(dag::run_scratch(first, a, a, op, options).value,
                           dag::plain_run_scratch(first, a, a, op, options).value));
}

// Autocast casts matrix products alone: numbers stay in single precision, whatever layers gave.
TEST(Executors, ComputeInSinglePrecisionUnderAutocast) {
  const int64_t R = 8, D = 4;
  const ExecutorOptions options = executor_options();
  const Numbers stack =
      of_type(shaped(sign_log_of(random_values(R * (D + 1), 1)), {R, D + 1}), at::kBFloat16);
  const Tensor logits = random_normal({R, D, kNames}, 2).to(at::kBFloat16);
  const Tensor operand_logits = random_normal({R, D, D + 1}, 3).to(at::kBFloat16);
  const auto run = [&](bool scratch) {
    const Tensor op = dag::select(logits, {}, {}).to(at::kBFloat16);
    const Tensor operands = dag::select(operand_logits, hidden_slots(D), {});
    const Numbers first = {{}, stack.sign.select(1, 0), stack.log.select(1, 0)};
    return scratch ? dag::plain_run_scratch(first, operands, operands, op, options).value
                   : dag::plain_run_stack(stack, op, options).value;
  };
  for (const bool scratch : {false, true}) {
    const Numbers expected = run(scratch);
    const Autocast autocast(Precision::kBFloat16, at::kCPU);
    const Numbers actual = run(scratch);
    EXPECT_EQ(actual.log.scalar_type(), at::kFloat);
    EXPECT_TRUE(same_numbers(actual, expected));
    EXPECT_EQ(dag::features_of(actual, 4).scalar_type(), at::kFloat);
  }
}

TEST(NumberFeatures, AreSignLogAndWavesOfIt) {
  const Numbers value = sign_log_of({-3, 0.5});
  const std::vector<double> features = numbers(dag::features_of(value, 4));
  ASSERT_EQ(features.size(), 2u * 66);
  for (size_t r = 0; r < 2; ++r) {
    const double l = std::log(r == 0 ? 3 : 0.5);
    const double* row = features.data() + 66 * r;
    EXPECT_EQ(row[0], r == 0 ? -1 : 1);
    EXPECT_NEAR(row[1], l, 1e-15);
    for (size_t j = 0; j < 32; ++j) {
      const double angle = 2 * M_PI * 4 * std::exp2(8 * (static_cast<double>(j) / 31 - 1)) * l;
      EXPECT_NEAR(row[2 + j], std::cos(angle), 1e-12);
      EXPECT_NEAR(row[34 + j], std::sin(angle), 1e-12);
    }
  }
  EXPECT_EQ(dag::features_of(linear_of({1, -2, 3}), 4).sizes(), (at::IntArrayRef{3, 1}));
}

}  // namespace
}  // namespace fathom::testing::dag_executors
