// What tests of tensors share: tensors to and from plain numbers, and gradients against
// differences.
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "fathom/ops/tensor.h"

namespace fathom::testing {

inline Tensor tensor_of(const std::vector<double>& values, at::IntArrayRef shape) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), t.data_ptr<double>());
  return t;
}

inline std::vector<double> numbers(const Tensor& tensor) {
  const Tensor t = tensor.detach().to(at::kDouble).contiguous();
  return {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()};
}

// N(0, 1) in double precision, of a generator that the code under test does not use.
inline Tensor random_normal(at::IntArrayRef shape, unsigned seed) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kDouble));
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<double>()[i] = normal(generator);
  return t;
}

inline Tensor random_tokens(at::IntArrayRef shape, int64_t vocab_size, unsigned seed) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kLong));
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<int64_t> token(0, vocab_size - 1);
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<int64_t>()[i] = token(generator);
  return t;
}

inline double max_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  const std::vector<double> x = numbers(a), y = numbers(b);
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    if (std::isnan(difference)) return difference;  // no comparison with it is ever true
    largest = std::max(largest, difference);
  }
  return largest;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return at::equal(a, b);
}

inline void backward(const Tensor& scalar) {
  torch::autograd::backward({scalar}, {});
}

// Checks d f / d leaf against central differences (five points, so that their own error is far
// below the tolerance) at `samples` entries of each leaf. Leaves are double and require a gradient;
// f gives a scalar and reads them anew at each call.
inline void expect_gradients(const std::function<Tensor()>& f, const std::vector<Tensor>& leaves,
                             int64_t samples, double tolerance = 1e-6) {
  for (Tensor leaf : leaves) leaf.mutable_grad() = Tensor();
  backward(f());
  for (size_t k = 0; k < leaves.size(); ++k) {
    const Tensor& leaf = leaves[k];
    ASSERT_TRUE(leaf.grad().defined()) << "leaf " << k << " has no gradient";
    const std::vector<double> gradient = numbers(leaf.grad());
    auto* data = leaf.data_ptr<double>();
    const int64_t stride = std::max<int64_t>(1, leaf.numel() / samples);
    for (int64_t i = 0; i < leaf.numel(); i += stride) {
      const double kept = data[i], h = 1e-4;
      const auto at_offset = [&](double steps) {
        data[i] = kept + steps * h;
        const double value = f().item<double>();
        data[i] = kept;
        return value;
      };
      const double expected =
          (8 * (at_offset(1) - at_offset(-1)) - (at_offset(2) - at_offset(-2))) / (12 * h);
      // Below 1e-3 the rounding of f itself shows in the difference.
      EXPECT_NEAR(gradient[size_t(i)], expected, tolerance * std::max(std::abs(expected), 1e-3))
          << "leaf " << k << ", entry " << i;
    }
  }
}

}  // namespace fathom::testing
