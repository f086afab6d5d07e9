// The tensors of a model, by name, made from its parameter table.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/spec/parameter_table.h"
#include "fathom/ops/tensor.h"

namespace fathom {

struct Parameter {
  ParameterSpec spec;
  Tensor tensor;  // a leaf that requires a gradient, unless it is frozen
};

class ParameterSet {
 public:
  // Allocated on `device` in `dtype` and initialised by the table's rules. Each parameter draws
  // from a stream of its own name, so its values depend on nothing but seed, name, and shape.
  ParameterSet(const std::vector<ParameterSpec>& table, uint64_t seed, at::Device device,
               at::ScalarType dtype = at::kFloat);

  const std::vector<Parameter>& all() const { return parameters_; }
  // Undefined if the model has no such parameter: a linear without a bias, a tied head.
  Tensor find(const std::string& name) const;
  Tensor at(const std::string& name) const;  // throws Error if there is none
  void zero_grad();
  // For as long as the set lives; one entry a parameter.
  void freeze(const std::vector<bool>& frozen);

 private:
  std::vector<Parameter> parameters_;
};

}  // namespace fathom
