// What the engine's halves of parts have in common. A part (model/spec/part.h) is bound, that is
// its tensors are found by their names, by
//
//   void bind(const Spec&, const PartPlace&, NamedTensors&, Params&);
#pragma once

#include <map>
#include <set>
#include <string>

#include "fathom/kernels/gelu.h"
#include "fathom/model/walk/parameters.h"
#include "fathom/ops/tensor.h"

namespace fathom {

struct Params;

// What all blocks of a model have in common.
struct BlockSettings {
  GeluForm gelu = GeluForm::kExact;  // of MLPs that name no activation
  double norm_eps = 1e-5;            // of norms that name none
};

struct LinearParams {
  Tensor weight, bias;  // (out, in), (out) or undefined

  // f(Tensor&) for each tensor; so have the structs of all parts.
  template <class F>
  void each(const F& f) {
    f(weight);
    f(bias);
  }
};

// A parameter set's tensors while parts take theirs.
class NamedTensors {
 public:
  explicit NamedTensors(const ParameterSet& parameters);

  Tensor find(const std::string& name);          // undefined if there is none
  Tensor at(const std::string& name);            // throws Error if there is none
  LinearParams linear(const std::string& name);  // "<name>.weight" and, if it is there, ".bias"
  Tensor ones(int64_t size) const;               // of the set's device and type, no parameter
  // Throws Error for a parameter, an experiment's own apart, that no part has taken.
  void expect_all_taken() const;

 private:
  const ParameterSet& parameters_;
  std::map<std::string, Tensor> tensors_;
  std::set<std::string> taken_;
};

}  // namespace fathom
