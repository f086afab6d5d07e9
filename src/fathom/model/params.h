// A model's parameters as values: structs of tensors that a step is given. Modules that own and
// name them are elsewhere (ParameterSet); a walk sees nothing but these.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "fathom/model/parameters.h"
#include "fathom/model/plan/depth_plan.h"
#include "fathom/ops/tensor.h"

namespace fathom {

struct LinearParams {
  Tensor weight, bias;  // (out, in), (out) or undefined
};
struct NormParams {
  Tensor weight, bias;  // (C), (C) or undefined
};
struct AttentionParams {
  LinearParams qkv, out;  // (3C, C) in the order q, k, v; (C, C)
};
struct MlpParams {
  LinearParams up, down;  // (4C, C), (C, 4C)
};

// By instance number.
struct Params {
  Tensor position_table;              // (block_size, C)
  std::map<int, Tensor> token_table;  // (V, C)
  std::map<int, LinearParams> gate, adapter, head;
  std::map<int, AttentionParams> attention;
  std::map<int, MlpParams> mlp;
  std::map<std::pair<int, int>, NormParams> norms;  // by place and index
  std::map<std::string, Tensor> own;                // an experiment's, by their whole names

  const NormParams& norm(const NormId& id) const { return norms.at({id.place, id.index}); }
};

// Views of the set's tensors. With `tied_heads`, head i is token table i.
Params bind(const ParameterSet& parameters, bool tied_heads);

// The same values without gradient.
Params frozen(const Params& params);

}  // namespace fathom
