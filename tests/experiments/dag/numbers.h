// What the tests of the arithmetic and of its executors share: numbers, and an arithmetic of their
// own to hold it to.
#pragma once

#include <ATen/ops/ones.h>
#include <ATen/ops/triu.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "experiments/dag/arithmetic.h"
#include "ops/testing.h"

namespace fathom::testing {

// (n) in the sign/log domain, in double precision.
inline dag::Numbers sign_log_of(const std::vector<double>& values) {
  std::vector<double> sign, log;
  for (const double v : values) {
    sign.push_back(v > 0 ? 1 : v < 0 ? -1 : 0);
    log.push_back(v == 0 ? 0 : std::log(std::abs(v)));
  }
  const auto n = static_cast<int64_t>(values.size());
  return {{}, tensor_of(sign, {n}), tensor_of(log, {n})};
}

inline dag::Numbers linear_of(const std::vector<double>& values) {
  return {tensor_of(values, {static_cast<int64_t>(values.size())}), {}, {}};
}

inline dag::Numbers shaped(const dag::Numbers& x, at::IntArrayRef shape) {
  if (x.is_linear()) return {x.real.view(shape), {}, {}};
  return {{}, x.sign.view(shape), x.log.view(shape)};
}

inline dag::Numbers of_type(const dag::Numbers& x, at::ScalarType type) {
  if (x.is_linear()) return {x.real.to(type), {}, {}};
  return {{}, x.sign.to(type), x.log.to(type)};
}

inline bool same_numbers(const dag::Numbers& a, const dag::Numbers& b) {
  if (a.is_linear() || b.is_linear()) return same_bits(a.real, b.real);
  return same_bits(a.sign, b.sign) && same_bits(a.log, b.log);
}

// (..., n): 1 at each index.
inline Tensor one_hot(const std::vector<int64_t>& indices, at::IntArrayRef shape) {
  const Tensor share = at::zeros(shape, at::TensorOptions(at::kDouble));
  const int64_t n = shape.back();
  for (size_t i = 0; i < indices.size(); ++i)
    share.data_ptr<double>()[static_cast<int64_t>(i) * n + indices[i]] = 1;
  return share;
}

// (D, S): step k does not see slots after k.
inline Tensor hidden_slots(int64_t D) {
  return at::ones({D, D + 1}, at::TensorOptions(at::kBool)).triu(1);
}

// A real number and a bound of what rounding may have made of it.
struct Rounded {
  double value, error;
};

inline Rounded rounded_once(double value) {
  return {value, 1e-15 * std::abs(value)};
}

inline bool divides_by_zero(fathom::Operation operation, double x, double y) {
  return (operation == fathom::Operation::kDivide && y == 0) ||
         (operation == fathom::Operation::kPower && x == 0 && y < 0);
}

inline Rounded rounded_result(fathom::Operation operation, const Rounded& x, const Rounded& y) {
  const auto rounds = [](double value, double error, double size) -> Rounded {
    return {value, error + 1e-15 * size};
  };
  const double a = std::abs(x.value), b = std::abs(y.value);
  switch (operation) {
    case fathom::Operation::kAdd:
      return rounds(x.value + y.value, x.error + y.error, std::max(a, b));
    case fathom::Operation::kSubtract:
      return rounds(x.value - y.value, x.error + y.error, std::max(a, b));
    case fathom::Operation::kMultiply:
      return rounds(x.value * y.value, x.error * b + y.error * a, a * b);
    case fathom::Operation::kDivide:
      return rounds(x.value / y.value, (x.error + y.error * a / b) / b, a / b);
    case fathom::Operation::kIdentity:
      return x;
    case fathom::Operation::kMax:
      return rounds(std::max(x.value, y.value), std::max(x.error, y.error), 0);
    case fathom::Operation::kMin:
      return rounds(std::min(x.value, y.value), std::max(x.error, y.error), 0);
    case fathom::Operation::kPower: {
      if (a == 0) return {0, x.error};
      const double base = std::min(a, 1e3), exponent = std::max(-6.0, std::min(y.value, 6.0));
      const double size = std::pow(base, exponent), of_y = b < 6 ? y.error : 0;
      const double relative = 1e-15 * (1 + std::abs(exponent * std::log(base))) +
                              std::abs(exponent) * x.error / a + std::abs(std::log(base)) * of_y;
      return {x.value < 0 ? -size : size, size * relative};
    }
    case fathom::Operation::kLog: {
      const double log = a == 0 ? -20 : std::max(-20.0, std::min(std::log(a), 20.0));
      return rounds(log, a == 0 ? 0 : x.error / a, std::abs(log));
    }
  }
  return {};
}

// Of 12 decades and both signs; one in twenty is 0, and one in ten is its neighbour or the negative
// of it.
inline std::vector<double> wide_values(size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> uniform;
  std::vector<double> values;
  for (size_t i = 0; i < n; ++i) {
    const double kind = uniform(generator), sign = uniform(generator) < 0.5 ? -1 : 1;
    if (kind < 0.05)
      values.push_back(0);
    else if (kind < 0.15 && i > 0)
      values.push_back(sign * values.back());
    else
      values.push_back(sign * std::pow(10, 12 * uniform(generator) - 6));
  }
  return values;
}

}  // namespace fathom::testing
