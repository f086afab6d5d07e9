#include "experiments/dag/arithmetic.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "experiments/dag/held_logs.h"
#include "experiments/dag/precision.h"
#include "fathom/base/error.h"

namespace fathom::dag {
namespace {

// Of the linear domain, in magnitude: what is divided by, and what has a power.
constexpr double kLeastDivisor = 1e-8;

// A result before it is clipped, and where what happened; masks are undefined where it cannot.
struct Unclipped {
  Numbers result;
  Tensor cancelled, divided_by_zero;
  Tensor held = {};  // what power and log are held to
};

// The least distance of two logs where one number is taken from the other: any but 0, whose slope
// is infinite: where() multiplies the slope of what it does not take by 0.
double least_distance(at::ScalarType type) {
  return type == at::kDouble ? std::numeric_limits<double>::min()
                             : double{std::numeric_limits<float>::min()};
}

Numbers wide_numbers(const Numbers& x) {
  if (x.is_linear()) return {widened(x.real), {}, {}};
  return {{}, widened(x.sign), widened(x.log)};
}

Unclipped log_sum(const Numbers& x, const Numbers& y) {
  const Tensor x_zero = x.sign == 0, y_zero = y.sign == 0;
  const Tensor alike = (x.sign > 0) == (y.sign > 0);
  const Tensor larger = at::maximum(x.log, y.log);
  const Tensor gap = (x.log - y.log).abs(), equal = gap == 0;
  const Tensor cancelled = equal & ~(alike | x_zero | y_zero);

  const Tensor sum = larger + gap.neg().exp().log1p();
  const Tensor apart = gap.clamp_min(least_distance(gap.scalar_type()));
  const Tensor difference = larger + apart.neg().expm1().neg().log();
  Tensor log = at::where(alike, sum, difference);
  log = at::where(x_zero, y.log, at::where(y_zero, x.log, log));
  log = log.masked_fill(cancelled | (x_zero & y_zero), 0);

  Tensor sign = at::where(x.log > y.log, x.sign, y.sign);
  sign = at::where(alike, x.sign.sign(), sign);
  sign = at::where(x_zero, y.sign, at::where(y_zero, x.sign, sign));
  return {{{}, sign.masked_fill(cancelled, 0), log}, cancelled, {}};
}

// 1 where x is larger, 0 where y is, 1/2 where neither is.
Tensor share_of_larger(const Numbers& x, const Numbers& y) {
  const at::NoGradGuard no_grad;
  const Tensor sx = x.sign.sign(), sy = y.sign.sign(), lx = sx * x.log, ly = sy * y.log;
  const Tensor alike = sx == sy;
  const Tensor x_larger = (sx > sy) | (alike & (lx > ly)),
               y_larger = (sy > sx) | (alike & (ly > lx));
  return (1 + x_larger.to(x.log.scalar_type()) - y_larger.to(x.log.scalar_type())) / 2;
}

// Sums with shares: what is not a number stays none, whichever is taken.
Unclipped log_mixed(const Tensor& share, const Numbers& x, const Numbers& y) {
  const Tensor rest = 1 - share;
  return {{{}, share * x.sign + rest * y.sign, share * x.log + rest * y.log}, {}, {}};
}

Unclipped log_power(const Numbers& x, const Numbers& y) {
  const Tensor x_zero = x.sign == 0;
  // Beyond it is held anyway, and the slope times 0 has to be 0.
  const Tensor exponent = y.sign * y.log.clamp_max(kMostLogOfExponent).exp();
  const Tensor log =
      exponent.clamp(-kMostExponent, kMostExponent) * x.log.clamp_max(kLogOfMostBase);
  return {{{}, x.sign, log.masked_fill(x_zero & ~log.isnan(), 0)},
          {},
          x_zero & (y.sign < 0),
          (exponent.abs() > kMostExponent) | ((x.log > kLogOfMostBase) & ~x_zero)};
}

Unclipped log_logarithm(const Numbers& x) {
  const Tensor x_zero = x.sign == 0, size = x.log.abs();
  Tensor log = size.clamp(least_distance(size.scalar_type()), kMostLog).log();
  log = log.masked_fill(x.log == 0, 0).masked_fill(x_zero & ~log.isnan(), std::log(kMostLog));
  // The difference: of no number there is no logarithm.
  const Tensor sign = x.log.sign().masked_fill(x_zero, -1) + (x.sign - x.sign);
  return {{{}, sign, log}, {}, {}, x_zero | (size > kMostLog)};
}

Unclipped log_result(Operation operation, const Numbers& x, const Numbers& y) {
  switch (operation) {
    case Operation::kAdd:
      return log_sum(x, y);
    case Operation::kSubtract:
      return log_sum(x, {{}, y.sign.neg(), y.log});
    case Operation::kMultiply:
      return {{{}, x.sign * y.sign, x.log + y.log}, {}, {}};
    case Operation::kDivide: {
      const Tensor by_zero = y.sign == 0;
      return {{{}, x.sign * y.sign, x.log - y.log.masked_fill(by_zero, 0)}, {}, by_zero};
    }
    case Operation::kIdentity:
      return {x, {}, {}};
    case Operation::kMax:
      return log_mixed(share_of_larger(x, y), x, y);
    case Operation::kMin:
      return log_mixed(share_of_larger(y, x), x, y);
    case Operation::kPower:
      return log_power(x, y);
    case Operation::kLog:
      return log_logarithm(x);
  }
  fail("no such operation");
}

Unclipped linear_power(const Tensor& x, const Tensor& y) {
  const double most = x.scalar_type() == at::kDouble ? 600 : 60;
  const Tensor size = x.abs();
  const Tensor log =
      y.clamp(-kMostExponent, kMostExponent) * size.clamp(kLeastDivisor, kMostBase).log();
  return {{x.detach().sign() * log.clamp(-most, most).exp(), {}, {}},
          {},
          (x == 0) & (y < 0),
          (y.abs() > kMostExponent) | (size > kMostBase) | ((log.abs() > most) & (x != 0))};
}

Unclipped linear_logarithm(const Tensor& x) {
  const double least = std::exp(-kMostLog), most = std::exp(kMostLog);
  const Tensor size = x.abs();
  return {{size.clamp(least, most).log(), {}, {}}, {}, {}, (size < least) | (size > most)};
}

Unclipped linear_result(Operation operation, const Tensor& x, const Tensor& y) {
  const auto sum = [](const Tensor& a, const Tensor& b) -> Unclipped {
    const Tensor result = a + b;
    return {{result, {}, {}}, (result == 0) & (a != 0), {}};
  };
  switch (operation) {
    case Operation::kAdd:
      return sum(x, y);
    case Operation::kSubtract:
      return sum(x, y.neg());
    case Operation::kMultiply:
      return {{x * y, {}, {}}, {}, {}};
    case Operation::kDivide: {
      const Tensor by_zero = y == 0, least = y.detach().sign() * kLeastDivisor;
      const Tensor divisor = at::where(y.abs() < kLeastDivisor, least, y).masked_fill(by_zero, 1);
      return {{(x / divisor).masked_fill(by_zero, 0), {}, {}}, {}, by_zero};
    }
    case Operation::kIdentity:
      return {{x, {}, {}}, {}, {}};
    case Operation::kMax:
      return {{at::maximum(x, y), {}, {}}, {}, {}};
    case Operation::kMin:
      return {{at::minimum(x, y), {}, {}}, {}, {}};
    case Operation::kPower:
      return linear_power(x, y);
    case Operation::kLog:
      return linear_logarithm(x);
  }
  fail("no such operation");
}

// What a clip holds, l or the number, to how much.
double limit_of(const Numbers& numbers, const ArithmeticOptions& options) {
  return numbers.is_linear() ? std::exp(options.log_limit) : options.log_limit;
}

Numbers clipped(const Numbers& x, const ArithmeticOptions& options) {
  const double limit = limit_of(x, options);
  switch (options.clip) {
    case Clip::kClamp:
      if (x.is_linear()) return {x.real.clamp(-limit, limit), {}, {}};
      return {{}, x.sign, x.log.clamp(-limit, limit)};
    case Clip::kTanh:
      if (x.is_linear()) return x;
      return {{}, x.sign, limit * (x.log / limit).tanh()};
    case Clip::kNone:
      return x;
  }
  fail("no such clip");
}

ArithmeticCounts counts_of(const Unclipped& unclipped, const Numbers& result,
                           const ArithmeticOptions& options, bool clips) {
  const at::NoGradGuard no_grad;
  const Numbers& before = unclipped.result;
  const Tensor& size = before.is_linear() ? before.real : before.log;
  const Tensor none = at::zeros({}, size.options().dtype(at::kLong));
  const auto times = [&](const Tensor& mask) { return mask.defined() ? mask.sum() : none; };
  const Tensor finite =
      result.is_linear() ? result.real.isfinite() : result.sign.isfinite() & result.log.isfinite();
  Tensor clamped = unclipped.held;
  if (clips && options.clip == Clip::kClamp) {
    const Tensor beyond = size.abs() > limit_of(before, options);
    clamped = clamped.defined() ? clamped | beyond : beyond;
  }
  // In one piece: each read waits for the device.
  const Tensor read = at::stack({times(clamped), times(unclipped.cancelled),
                                 times(unclipped.divided_by_zero), times(~finite)})
                          .to(at::kCPU);
  const auto* number = read.data_ptr<int64_t>();
  return {size.numel(), number[0], number[1], number[2], number[3]};
}

}  // namespace

Tensor Numbers::value() const {
  return is_linear() ? real : sign * log.exp();
}

ArithmeticCounts& ArithmeticCounts::operator+=(const ArithmeticCounts& other) {
  results += other.results, clamped += other.clamped, cancelled += other.cancelled;
  divided_by_zero += other.divided_by_zero, nonfinite += other.nonfinite;
  return *this;
}

Numbers apply(Operation operation, const Numbers& x, const Numbers& y,
              const ArithmeticOptions& options, ArithmeticCounts* counts) {
  if (x.is_linear() != y.is_linear())
    fail("arithmetic joins two linear numbers or two of signs and logs, not one of each");
  const Numbers a = wide_numbers(x), b = wide_numbers(y);
  const Unclipped unclipped =
      a.is_linear() ? linear_result(operation, a.real, b.real) : log_result(operation, a, b);
  const bool clips = operation != Operation::kIdentity;
  const Numbers result = clips ? clipped(unclipped.result, options) : unclipped.result;
  if (counts != nullptr) *counts += counts_of(unclipped, result, options, clips);
  return result;
}

}  // namespace fathom::dag
