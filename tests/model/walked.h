// A layer of few parts, walked once.
//
// B sequences, T positions, C channels, H heads.
#pragma once

#include "model/walking.h"
#include "spec/plans.h"

namespace fathom::testing::walked {

constexpr int64_t B = 2, T = 6, C = 12, H = 3, kWalkedVocab = 7;

inline BackboneConfig backbone(bool bias = true) {
  BackboneConfig b;
  b.n_layer = 1;
  b.n_head = H;
  b.n_embd = C;
  b.block_size = T;
  b.bias = bias;
  return b;
}

// A layer that answers, with a wiring of its own and only those parts.
inline DepthPlan plan_with(const Wiring& wiring, const LayerSpec& layer) {
  DepthPlan plan = plan_of({{layer}}, C);
  plan.wirings = {wiring};
  return plan;
}

inline LayerSpec bare_layer() {
  LayerSpec layer = with_readout(block(0, C), 0);
  layer.attention = {};
  layer.mlp = {};
  layer.norm = {};
  layer.norm_in.kind = NormSpec::kNone;
  return layer;
}

struct Walked {
  explicit Walked(const DepthPlan& plan, at::ScalarType dtype = at::kDouble, bool bias = true)
      : parameters(parameter_table(plan, backbone(bias), kWalkedVocab), 1, at::kCPU, dtype),
        walk(plan, backbone(bias), bind(parameters, plan)) {
    const at::NoGradGuard no_grad;
    unsigned seed = 1;
    for (const Parameter& p : parameters.all())
      Tensor(p.tensor).add_(random_normal(p.tensor.sizes(), seed++), 0.5);
    batch.tokens_BT = random_tokens({B, T}, kWalkedVocab, 3);
    trace = run_kept(walk, unroll(plan), batch, {});
  }

  // (B, T, C): what came to the first step, and what left the last one.
  Tensor start() const { return trace.door(0).r_RC.view({B, T, -1}); }
  Tensor end() const { return trace.end.r_RC.view({B, T, -1}); }
  Tensor at(const std::string& name) const { return parameters.at(name); }
  // Of part "<name>.weight" and "<name>.bias".
  Tensor mapped(const Tensor& x, const std::string& name) const {
    const Tensor y = x.matmul(at(name + ".weight").t()), bias = parameters.find(name + ".bias");
    return bias.defined() ? y + bias : y;
  }

  ParameterSet parameters;
  DepthWalk walk;
  Batch batch;
  KeptTrace trace;
};

}  // namespace fathom::testing::walked
