// The optimisers there are, as far as one knows them without tensors: their names, what they keep
// of each parameter and which keys they read. What a step does is in train/update_rules.h, under
// the same names.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/spec/part.h"

namespace fathom {

// A tensor that an optimiser keeps of a parameter from step to step: "<parameter>.<name>" in
// optimizer.safetensors.
struct StateTensor {
  enum Begin { kZeros, kWeights };  // all zeros, or a copy of the parameter
  const char* name;
  Begin begins = kZeros;
  bool is_number = false;  // one, not one for each of the parameter's
  // It changes places with the parameter while the model answers: where gradients are taken is not
  // what is evaluated and saved. The file's name says what it is then.
  bool swaps = false;
};

struct OptimizerRule {
  const char* name;               // value of `optimizer`
  const char* title;              // as people write it
  bool decoupled;                 // weight decay acts beside the gradient, not in it
  std::vector<std::string> keys;  // besides those that all of them read
  std::vector<StateTensor> (*state)(const ParameterSpec&);

  bool reads(const std::string& key) const;
};

// The first one is the default.
const std::vector<OptimizerRule>& optimizer_rules();

// `name` is one of them.
const OptimizerRule& optimizer_rule(const std::string& name);

// Of what it keeps of these parameters, in float32.
double optimizer_bytes(const OptimizerRule& rule, const std::vector<ParameterSpec>& table);

}  // namespace fathom
