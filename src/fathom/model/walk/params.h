// A model's parameters as values: structs of tensors that a step is given. Modules that own and
// name them are elsewhere (ParameterSet); a walk sees nothing but these.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/walk/attention_part.h"
#include "fathom/model/walk/mlp_part.h"
#include "fathom/model/walk/norm_part.h"

namespace fathom {

// By instance number.
struct Params {
  std::map<int, Tensor> token_table, position_table;  // (V, C), (block_size, C)
  std::map<int, Tensor> loop_signal;                  // (iterations, C) or (iterations, 1)
  std::map<int, LinearParams> gate, halting_gate, adapter, head;
  std::map<int, AttentionParams> attention;
  std::map<int, MlpParams> mlp;
  std::map<std::pair<int, int>, NormParams> norms;  // by place and index
  std::map<std::string, Tensor> own;                // an experiment's, by their whole names

  const NormParams& norm(const NormId& id) const { return norms.at({id.place, id.index}); }
  // f(Tensor&) for each tensor, undefined ones included.
  template <class F>
  void each(const F& f) {
    for (auto* tables : {&token_table, &position_table, &loop_signal})
      for (auto& [i, table] : *tables) f(table);
    for (auto* linears : {&gate, &halting_gate, &adapter, &head})
      for (auto& [i, linear] : *linears) linear.each(f);
    for (auto& [i, part] : attention) part.each(f);
    for (auto& [i, part] : mlp) part.each(f);
    for (auto& [id, part] : norms) part.each(f);
    for (auto& [name, tensor] : own) f(tensor);
  }
};

// Views of the set's tensors, for the parts of the plan. Throws Error if one is missing, or of no
// part.
Params bind(const ParameterSet& parameters, const DepthPlan& plan);

// The same values without gradient; and those of some classes: views, so that no tensor of the set
// changes, and a matrix that another class uses as well learns from that.
Params frozen(const Params& params);
Params without_gradient(Params params, const FrozenParts& parts);

}  // namespace fathom
