#include "experiments/dag/executors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "experiments/dag/precision.h"
#include "fathom/base/error.h"

namespace fathom::dag {
namespace {

constexpr int64_t kFrequencies = 32;
constexpr double kOctaves = 8;  // from the lowest frequency to the highest
constexpr double kTwoPi = 6.283185307179586;

const Tensor& part_of(const Numbers& numbers) {
  return numbers.is_linear() ? numbers.real : numbers.log;
}

// The same of every tensor that a number has.
template <class Change>
Numbers of_parts(const Numbers& numbers, const Change& change) {
  if (numbers.is_linear()) return {change(numbers.real), {}, {}};
  return {{}, change(numbers.sign), change(numbers.log)};
}

// Numbers (R) each -> (R, n).
Numbers side_by_side(const std::vector<Numbers>& several) {
  std::vector<Tensor> first, second;
  const bool linear = several.front().is_linear();
  for (const Numbers& x : several) {
    first.push_back(linear ? x.real : x.sign);
    if (!linear) second.push_back(x.log);
  }
  if (linear) return {at::stack(first, 1), {}, {}};
  return {{}, at::stack(first, 1), at::stack(second, 1)};
}

// (R, n) numbers and their shares, of any precision -> (R). Signs and logs each: the numbers'
// geometric mean.
Numbers mixed(const Numbers& numbers_Rn, const Tensor& share_Rn) {
  return of_parts(numbers_Rn, [&](const Tensor& part) { return (part * share_Rn).sum(1); });
}

// What the operations give for x and y (R), mixed by their shares (R, N).
Numbers one_step(const Numbers& x, const Numbers& y, const Tensor& op_RN,
                 const ExecutorOptions& options, ArithmeticCounts& counts) {
  std::vector<Numbers> results;
  for (const Operation operation : options.operations)
    results.push_back(
        apply(operation, x, y, options.arithmetic, options.count ? &counts : nullptr));
  return mixed(side_by_side(results), op_RN);
}

void check_shape(const char* what, const Tensor& tensor, const std::vector<int64_t>& shape) {
  if (tensor.sizes() != at::IntArrayRef(shape))
    fail(fmt::format("{} are ({}), not ({})", what, fmt::join(tensor.sizes(), ", "),
                     fmt::join(shape, ", ")));
}

void check_operations(const Tensor& op_RDN, int64_t R, const ExecutorOptions& options) {
  if (op_RDN.dim() != 3)
    fail(fmt::format("shares of operations have 3 dimensions, not {}", op_RDN.dim()));
  if (options.operations.empty()) fail("an executor needs at least one operation");
  check_shape("shares of operations", op_RDN,
              {R, op_RDN.size(1), static_cast<int64_t>(options.operations.size())});
}

void check_stack(const Numbers& values, const Tensor& op_RDN, const ExecutorOptions& options) {
  const Tensor& part = part_of(values);
  if (part.dim() != 2) fail(fmt::format("values of a stack have 2 dimensions, not {}", part.dim()));
  check_operations(op_RDN, part.size(0), options);
  if (part.size(1) != op_RDN.size(1) + 1)
    fail(fmt::format("{} operations fold a stack of {} values, not of {}", op_RDN.size(1),
                     op_RDN.size(1) + 1, part.size(1)));
}

void check_scratch(const Numbers& first, const Tensor& operand1_RDS, const Tensor& operand2_RDS,
                   const Tensor& op_RDN, const ExecutorOptions& options) {
  const Tensor& part = part_of(first);
  if (part.dim() != 1)
    fail(fmt::format("the first slot has one number a row, not {} dimensions", part.dim()));
  check_operations(op_RDN, part.size(0), options);
  const int64_t D = op_RDN.size(1);
  for (const Tensor& operand : {operand1_RDS, operand2_RDS})
    check_shape("shares of operands", operand, {part.size(0), D, D + 1});
}

}  // namespace

Executed run_stack(const Numbers& values, const Tensor& op_RDN, const ExecutorOptions& options) {
  check_stack(values, op_RDN, options);
  return has_fused_executor(values, options) ? fused_run_stack(values, op_RDN, options)
                                             : plain_run_stack(values, op_RDN, options);
}

Executed run_scratch(const Numbers& first, const Tensor& operand1_RDS, const Tensor& operand2_RDS,
                     const Tensor& op_RDN, const ExecutorOptions& options) {
  check_scratch(first, operand1_RDS, operand2_RDS, op_RDN, options);
  return has_fused_executor(first, options)
             ? fused_run_scratch(first, operand1_RDS, operand2_RDS, op_RDN, options)
             : plain_run_scratch(first, operand1_RDS, operand2_RDS, op_RDN, options);
}

Executed plain_run_stack(const Numbers& values, const Tensor& op_RDN,
                         const ExecutorOptions& options) {
  check_stack(values, op_RDN, options);
  const Numbers wide = of_parts(values, widened);
  const int64_t D = op_RDN.size(1);
  const auto at_depth = [&](int64_t i) {
    return of_parts(wide, [&](const Tensor& part_RS) { return part_RS.select(1, i); });
  };
  Executed executed;
  executed.value = at_depth(D);
  for (int64_t k = 0; k < D; ++k) {
    executed.value = one_step(at_depth(D - 1 - k), executed.value, op_RDN.select(1, k), options,
                              executed.counts);
    executed.steps.push_back(executed.value);
  }
  return executed;
}

Executed plain_run_scratch(const Numbers& first, const Tensor& operand1_RDS,
                           const Tensor& operand2_RDS, const Tensor& op_RDN,
                           const ExecutorOptions& options) {
  check_scratch(first, operand1_RDS, operand2_RDS, op_RDN, options);
  std::vector<Numbers> slots = {of_parts(first, widened)};
  Executed executed;
  for (int64_t k = 0; k < op_RDN.size(1); ++k) {
    const Numbers seen = side_by_side(slots);
    const auto operand = [&](const Tensor& share_RDS) {
      return mixed(seen, share_RDS.select(1, k).narrow(1, 0, k + 1));
    };
    slots.push_back(one_step(operand(operand1_RDS), operand(operand2_RDS), op_RDN.select(1, k),
                             options, executed.counts));
  }
  executed.value = slots.back();
  executed.steps.assign(slots.begin() + 1, slots.end());
  return executed;
}

Tensor features_of(const Numbers& value, double top) {
  if (value.is_linear()) return widened(value.real).unsqueeze(1);
  const Tensor sign = widened(value.sign).unsqueeze(1), log = widened(value.log).unsqueeze(1);
  const Tensor j = at::arange(kFrequencies, log.options().dtype(at::kDouble));
  const Tensor octaves = (j / double(kFrequencies - 1) - 1) * kOctaves;
  const Tensor frequency = at::pow(2, octaves).mul(kTwoPi * top).to(log.scalar_type());
  const Tensor angle = log * frequency;
  return at::cat({sign, log, angle.cos(), angle.sin()}, 1);
}

}  // namespace fathom::dag
