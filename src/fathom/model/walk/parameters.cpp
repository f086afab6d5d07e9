#include "fathom/model/walk/parameters.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/kernels/units.h"

namespace fathom {
namespace {

constexpr int64_t kInitGrain = 1 << 14;  // numbers a thread draws at least
constexpr double kTruncation = 3;        // standard deviations

// Numbers times identities, side by side.
Tensor diagonal(const ParameterSpec& spec) {
  const Tensor values = at::zeros(spec.shape, at::TensorOptions(at::kDouble));
  const int64_t rows = values.size(0), columns = values.size(1);
  auto* data = values.data_ptr<double>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = row; column < columns; column += rows)
      data[row * columns + column] = column == row ? spec.init.scale : spec.init.beside;
  return values;
}

// A standard normal number within the truncation: the first such of its place's streams.
class Truncated {
 public:
  Truncated(uint64_t seed, const std::string& name) : seed_(seed), name_(name) {}

  double operator()(double first, uint64_t index) const {
    double z = first;
    for (int again = 1; std::abs(z) > kTruncation; ++again)
      z = RandomStream(seed_, fmt::format("{}/{}", name_, again)).normal(index);
    return z;
  }

 private:
  uint64_t seed_;
  std::string name_;
};

Tensor initialised(const ParameterSpec& spec, uint64_t seed) {
  const Tensor values = at::empty(spec.shape, at::TensorOptions(at::kDouble));
  if (spec.init.kind == InitRule::kZeros) return values.zero_();
  if (spec.init.kind == InitRule::kOnes) return values.fill_(1.0);
  if (spec.init.kind == InitRule::kConstant) return values.fill_(spec.init.scale);
  if (spec.init.kind == InitRule::kDiagonal) return diagonal(spec);
  const RandomStream stream(seed, "init/" + spec.name);
  const Truncated truncated(seed, "init/" + spec.name);
  const double scale = spec.init.scale;
  auto* data = values.data_ptr<double>();
  const bool is_uniform = spec.init.kind == InitRule::kUniform;
  const bool is_truncated = spec.init.kind == InitRule::kTruncated;
  const int64_t n = values.numel();
  run_units((n + kInitGrain - 1) / kInitGrain, /*small=*/false, [&](int64_t unit) {
    for (int64_t i = unit * kInitGrain; i < std::min(n, (unit + 1) * kInitGrain); ++i) {
      const auto index = static_cast<uint64_t>(i);
      const double x = is_uniform ? 2 * stream.uniform(index) - 1 : stream.normal(index);
      data[i] = scale * (is_truncated ? truncated(x, index) : x);
    }
  });
  return values;
}

}  // namespace

ParameterSet::ParameterSet(const std::vector<ParameterSpec>& table, uint64_t seed,
                           at::Device device, at::ScalarType dtype) {
  for (const ParameterSpec& spec : table) {
    Tensor tensor = initialised(spec, seed).to(device, dtype);
    parameters_.push_back({spec, tensor.set_requires_grad(true)});
  }
}

Tensor ParameterSet::find(const std::string& name) const {
  for (const Parameter& parameter : parameters_)
    if (parameter.spec.name == name) return parameter.tensor;
  return {};
}

Tensor ParameterSet::at(const std::string& name) const {
  Tensor tensor = find(name);
  if (!tensor.defined()) fail(fmt::format("the model has no parameter {}", name));
  return tensor;
}

void ParameterSet::zero_grad() {
  for (Parameter& parameter : parameters_) parameter.tensor.mutable_grad() = Tensor();
}

void ParameterSet::freeze(const std::vector<bool>& frozen) {
  for (size_t i = 0; i < parameters_.size(); ++i)
    parameters_[i].tensor.set_requires_grad(!frozen.at(i));
}

}  // namespace fathom
