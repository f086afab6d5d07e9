#include "fathom/model/walk/parameters.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/random.h"

namespace fathom {
namespace {

constexpr int64_t kInitGrain = 1 << 14;  // numbers a thread draws at least

Tensor initialised(const ParameterSpec& spec, uint64_t seed) {
  const Tensor values = at::empty(spec.shape, at::TensorOptions(at::kDouble));
  if (spec.init.kind == InitRule::kZeros) return values.zero_();
  if (spec.init.kind == InitRule::kOnes) return values.fill_(1.0);
  const RandomStream stream(seed, "init/" + spec.name);
  const double scale = spec.init.scale;
  auto* data = values.data_ptr<double>();
  const bool normal = spec.init.kind == InitRule::kNormal;
  at::parallel_for(0, values.numel(), kInitGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<uint64_t>(i);
      data[i] = scale * (normal ? stream.normal(index) : 2 * stream.uniform(index) - 1);
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
