// ln(1 - e^z) for z < 0, where the plain formula loses all digits at one end and overflows at the
// other.
#include <gtest/gtest.h>

#include "fathom/model/supervision.h"
#include "ops/testing.h"

namespace fathom::testing {
namespace {

// -1e-7 to -50, dense around -ln 2, where the two forms meet.
std::vector<double> arguments() {
  std::vector<double> z;
  for (double x = 1e-7; x < 50; x *= 1.05) z.push_back(-x);
  for (int i = -20; i <= 20; ++i) z.push_back(-std::log(2.0) + i * 1e-3);
  z.push_back(-50);
  return z;
}

long double exact(long double z) {
  return z > -0.7L ? std::log(-std::expm1(z)) : std::log1p(-std::exp(z));
}

double relative_error(double value, long double expected) {
  return double(std::abs((value - expected) / expected));
}

TEST(Log1mexp, IsAccurateFromEndToEnd) {
  for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-13}, {at::kFloat, 1e-6}}) {
    const std::vector<double> z = arguments();
    const Tensor argument = tensor_of(z, {int64_t(z.size())}).to(type);
    const std::vector<double> given = numbers(argument), value = numbers(log1mexp(argument));
    for (size_t i = 0; i < z.size(); ++i)
      EXPECT_LT(relative_error(value[i], exact(given[i])), tolerance) << given[i];
  }
}

// d/dz = -1 / (e^-z - 1)
TEST(Log1mexp, ItsGradientIsAccurateFromEndToEnd) {
  for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-13}, {at::kFloat, 1e-6}}) {
    const std::vector<double> z = arguments();
    Tensor argument = tensor_of(z, {int64_t(z.size())}).to(type).set_requires_grad(true);
    backward(log1mexp(argument).sum());
    const std::vector<double> given = numbers(argument), gradient = numbers(argument.grad());
    for (size_t i = 0; i < z.size(); ++i)
      EXPECT_LT(relative_error(gradient[i], -1 / std::expm1(-(long double)(given[i]))), tolerance)
          << given[i];
  }
}

TEST(Log1mexp, IsFiniteWhereNothingIsLeft) {
  for (const auto type : {at::kDouble, at::kFloat}) {
    const std::vector<double> z = {0, -1e-300, -1e-40, -1e-30, -1e-20, -5.96e-8, -100, -745, -1e30};
    Tensor argument = tensor_of(z, {int64_t(z.size())}).to(type).set_requires_grad(true);
    const Tensor value = log1mexp(argument);
    backward(value.sum());
    for (const double x : numbers(value)) EXPECT_TRUE(std::isfinite(x) && x <= 0) << x;
    for (const double x : numbers(argument.grad())) EXPECT_TRUE(std::isfinite(x)) << x;
  }
}

}  // namespace
}  // namespace fathom::testing
