// Plans made by hand.
#pragma once

#include <vector>

#include "fathom/model/plan/depth_plan.h"

namespace fathom::testing {

// A GPT-2 layer of its own weights, `index`.
inline LayerSpec block(int index, int64_t width, std::vector<Injection> door = {}) {
  LayerSpec layer;
  layer.width_in = layer.width = width;
  layer.attention = layer.mlp = {index};
  layer.norm = {{NormId::kMid, index}};
  layer.norm_in = {NormId::kIn, index};
  layer.door = std::move(door);
  return layer;
}

inline LayerSpec with_readout(LayerSpec layer, int number, int head = 0) {
  layer.readout = ReadoutSpec{head, {NormId::kOut, head}, number};
  return layer;
}

inline LoopGroup loop_of(std::vector<PlanNode> body, int64_t count) {
  LoopGroup group;
  group.body = std::move(body);
  group.count = count;
  return group;
}

inline DepthPlan plan_of(std::vector<PlanNode> nodes, int64_t width = 8) {
  DepthPlan plan;
  plan.stem.width = width;
  plan.wirings = {pre_norm_wiring()};
  plan.nodes = std::move(nodes);
  return plan;
}

}  // namespace fathom::testing
