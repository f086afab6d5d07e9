#include "fathom/model/walk/params.h"

#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/model/spec/each_part.h"
#include "fathom/model/walk/halting.h"
#include "fathom/model/walk/injection.h"
#include "fathom/model/walk/readout.h"

namespace fathom {

NamedTensors::NamedTensors(const ParameterSet& parameters) : parameters_(parameters) {
  for (const Parameter& p : parameters.all()) tensors_[p.spec.name] = p.tensor;
}

Tensor NamedTensors::find(const std::string& name) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return {};
  taken_.insert(name);
  return found->second;
}

Tensor NamedTensors::at(const std::string& name) {
  Tensor tensor = find(name);
  if (!tensor.defined()) fail(fmt::format("the model has no parameter {}", name));
  return tensor;
}

LinearParams NamedTensors::linear(const std::string& name) {
  return {at(name + ".weight"), find(name + ".bias")};
}

Tensor NamedTensors::ones(int64_t size) const {
  if (parameters_.all().empty()) fail("the model has no parameters");
  return at::ones({size}, parameters_.all().front().tensor.options().requires_grad(false));
}

void NamedTensors::expect_all_taken() const {
  for (const Parameter& p : parameters_.all())
    if (p.spec.part != Part::kOwn && taken_.count(p.spec.name) == 0)
      fail(fmt::format("no part of the model is called {}", p.spec.name));
}

Params bind(const ParameterSet& parameters, const DepthPlan& plan) {
  Params params;
  NamedTensors tensors(parameters);
  each_part(plan,
            [&](const auto& part, const PartPlace& place) { bind(part, place, tensors, params); });
  for (const Parameter& p : parameters.all())
    if (p.spec.part == Part::kOwn) params.own[p.spec.name] = p.tensor;
  tensors.expect_all_taken();
  return params;
}

Params frozen(const Params& params) {
  Params copy = params;
  copy.each([](Tensor& t) {
    if (t.defined()) t = t.detach();
  });
  return copy;
}

Params without_gradient(Params params, const FrozenParts& parts) {
  const auto stop = [](Tensor& t) {
    if (t.defined()) t = t.detach();
  };
  const auto stop_all = [&](auto& of_class, bool is_frozen) {
    if (!is_frozen) return;
    for (auto& [instance, part] : of_class) part.each(stop);
  };
  stop_all(params.attention, parts.attention);
  stop_all(params.mlp, parts.mlp);
  stop_all(params.norms, parts.norm);
  stop_all(params.head, parts.head);
  if (parts.embedding)
    for (auto* tables : {&params.token_table, &params.position_table})
      for (auto& [instance, table] : *tables) stop(table);
  return params;
}

}  // namespace fathom
