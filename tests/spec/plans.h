// Plans made by hand.
#pragma once

#include <vector>

#include "fathom/model/spec/depth_program.h"

namespace fathom::testing {

// A GPT-2 layer of its own weights, `index`.
inline LayerSpec block(int index, int64_t width, std::vector<Injection> door = {}) {
  LayerSpec layer;
  layer.width_in = layer.width = width;
  layer.attention = {index};
  layer.mlp = {index};
  layer.norm = {{NormId::kMid, index}};
  layer.norm_in = {NormId::kIn, index};
  layer.door = std::move(door);
  return layer;
}

inline LayerSpec with_readout(LayerSpec layer, int number, int head = 0) {
  layer.readout = ReadoutSpec{head, {NormId::kOut, head}, number};
  return layer;
}

inline LoopGroup loop_of(std::vector<PlanNode> body, int adapter = -1) {
  return {std::move(body), adapter};
}

// Passes in which the groups run so often.
inline Policy loops(const std::vector<int64_t>& counts) {
  Policy policy;
  policy.loops.resize(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) policy.loops[i].count = counts[i];
  return policy;
}

inline DepthPlan plan_of(std::vector<PlanNode> nodes, int64_t width = 8) {
  DepthPlan plan;
  plan.stem.width = width;
  plan.wirings = {pre_norm_wiring()};
  plan.nodes = std::move(nodes);
  return plan;
}

}  // namespace fathom::testing
