// What the tests of operations and of their plain twins share.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "fathom/model/walk/places.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/model/walk/rows.h"
#include "fathom/ops/optimizer.h"
#include "fathom/ops/plain.h"
#include "kernels/testing.h"
#include "ops/described.h"
#include "ops/testing.h"

namespace fathom::testing {

using Tensors = std::vector<Tensor>;
// Outputs of an operation on its inputs; undefined inputs are parts that are not there.
using Operation = std::function<Tensors(const Tensors&)>;

struct Result {
  Tensors outputs, gradients;
};

// Runs it on copies of the inputs in `dtype`, and sends random gradients to its float outputs.
inline Result run(const Operation& f, const Tensors& inputs, at::ScalarType dtype) {
  Tensors leaves;
  for (const Tensor& x : inputs)
    leaves.push_back(x.defined() ? x.detach().to(dtype).clone().set_requires_grad(true) : x);
  Result result;
  result.outputs = f(leaves);
  Tensor sum;
  unsigned seed = 50;
  for (const Tensor& y : result.outputs) {
    ++seed;
    if (!y.requires_grad()) continue;
    const Tensor part = (y * random_normal(y.sizes(), seed).to(dtype)).sum();
    sum = sum.defined() ? sum + part : part;
  }
  backward(sum);
  for (const Tensor& x : leaves) result.gradients.push_back(x.defined() ? x.grad() : x);
  return result;
}

inline void expect_close(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.defined(), expected.defined()) << what;
  if (!actual.defined()) return;
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LE(distance(numbers(actual), numbers(expected)), 2e-5) << what;
}

// Where an undefined gradient means zeros.
inline void expect_twins(const Operation& f, const Tensors& inputs) {
  const Result expected = run(f, inputs, at::kDouble);
  for (const Isa isa : usable_isas())
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(fmt::format("{}, {} threads", isa_name(isa), threads));
      const ChosenIsa chosen(isa);
      at::set_num_threads(threads);
      const Result actual = run(f, inputs, at::kFloat);
      for (size_t i = 0; i < expected.outputs.size(); ++i)
        expect_close(actual.outputs[i], expected.outputs[i], fmt::format("output {}", i));
      for (size_t i = 0; i < expected.gradients.size(); ++i)
        expect_close(actual.gradients[i], expected.gradients[i], fmt::format("gradient {}", i));
    }
}

class Twins : public ::testing::Test {
 protected:
  ~Twins() override { at::set_num_threads(threads_); }
  const int threads_ = at::get_num_threads();
};

using Shape = std::vector<int64_t>;

}  // namespace fathom::testing
