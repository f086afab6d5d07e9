// The parts of a plan, one after the other, whatever they are: f is called with each of the structs
// that part.h speaks of.
#pragma once

#include "fathom/model/spec/depth_plan.h"

namespace fathom {

namespace parts {

// f(injection, place) for a door that a stream of `width` comes to; `end`: its width after it.
template <class F>
void each_of_door(const std::vector<Injection>& door, PartPlace place, int64_t end, const F& f) {
  for (const Injection& injection : door) {
    f(injection, place);
    if (injection.kind == Injection::kWiden) place.width = end;
  }
}

// Calls f(part, place, number of calls) for what the layer names: `called` null, or what its wiring
// calls.
template <class F>
void each_of_layer(const LayerSpec& layer, PartPlace place, const WiringParts* called, const F& f) {
  const auto calls = [&](std::vector<int> WiringParts::*of_part, size_t k) {
    return called == nullptr ? 1 : (called->*of_part).at(k);
  };
  place.context = layer.context;
  place.width = layer.width_in;
  each_of_door(layer.door, place, layer.width,
               [&](const Injection& i, const PartPlace& at) { f(i, at, 1); });
  place.width = layer.width;
  f(layer.norm_in, place, 1);
  for (size_t k = 0; k < layer.attention.size(); ++k)
    f(layer.attention[k], place, calls(&WiringParts::calls_of_attention, k));
  for (size_t k = 0; k < layer.norm.size(); ++k)
    f(layer.norm[k], place, calls(&WiringParts::calls_of_norm, k));
  for (size_t k = 0; k < layer.mlp.size(); ++k)
    f(layer.mlp[k], place, calls(&WiringParts::calls_of_mlp, k));
  if (!layer.readout) return;
  f(layer.readout->norm, place, 1);
  f(*layer.readout, place, 1);
}

// A group's input by its adapter.
inline Injection adapter_of(const LoopGroup& group) {
  Injection input{Injection::kLoopInput, group.adapter};
  input.adapter_init = group.adapter_init;
  return input;
}

// The width that a node's first layer takes.
inline int64_t width_into(const PlanNode& node) {
  const auto* group = std::get_if<LoopGroup>(&node.node);
  if (group == nullptr) return std::get<LayerSpec>(node.node).width_in;
  return group->body.empty() ? 0 : width_into(group->body.front());
}

template <class F>
void each_of_nodes(const std::vector<PlanNode>& nodes, const PartPlace& plan, const F& f) {
  for (const PlanNode& node : nodes) {
    if (const auto* layer = std::get_if<LayerSpec>(&node.node)) {
      each_of_layer(*layer, plan, nullptr,
                    [&](const auto& part, const PartPlace& at, int) { f(part, at); });
      continue;
    }
    const auto& group = std::get<LoopGroup>(node.node);
    PartPlace at = plan;
    at.width = width_into(node);
    if (group.adapter >= 0) f(adapter_of(group), at);
    for (const Injection& injection : group.input) f(injection, at);
    if (group.halting_gate.is_there()) f(group.halting_gate, at);
    each_of_nodes(group.body, plan, f);
  }
}

inline PartPlace place_in(const DepthPlan& plan) {
  PartPlace place;
  place.width = plan.stem.width;
  place.tied_heads = plan.tied_heads;
  place.causal = plan.causal;
  return place;
}

}  // namespace parts

// f(part, place) for each, as often as it is named, in the order of the parameter table.
template <class F>
void each_part(const DepthPlan& plan, const F& f) {
  const PartPlace place = parts::place_in(plan);
  parts::each_of_door(plan.stem.door, place, place.width, f);
  parts::each_of_nodes(plan.nodes, place, f);
}

// f(part, place, calls) for what a token meets in a step of a program of the plan, `called` by the
// step's wiring; and in the stem.
template <class F>
void each_call(const DepthPlan& plan, const LayerSpec& layer, const WiringParts& called,
               const F& f) {
  parts::each_of_layer(layer, parts::place_in(plan), &called, f);
}
template <class F>
void each_call_of_stem(const DepthPlan& plan, const F& f) {
  const PartPlace place = parts::place_in(plan);
  parts::each_of_door(plan.stem.door, place, place.width,
                      [&](const Injection& i, const PartPlace& at) { f(i, at, 1); });
}

}  // namespace fathom
