// For tests that look into a model's walk.
#pragma once

#include "fathom/model/depth_model.h"
#include "model/testing.h"

namespace fathom::testing {

// A trace with what the walk showed of itself.
struct KeptTrace : Trace {
  Kept kept;

  // At the step's door, before injections.
  const WalkState& state(size_t step) const { return *kept.door(int(step)); }
  const Carry& door(size_t step) const { return state(step).travel.carry; }
  // What the head was given.
  Tensor h(const StepRecord& record) const { return kept.head(record.step); }
};

// Keeps doors and what heads are given.
inline KeptTrace run_kept(const DepthWalk& walk, const DepthProgram& program, const Batch& batch,
                          WalkOptions options) {
  KeptTrace trace;
  trace.kept = {"door", "head"};
  options.observe = trace.kept.observer();
  static_cast<Trace&>(trace) = walk.run(program, batch, options);
  return trace;
}

inline const DepthModel& depth(const Model& model) {
  return dynamic_cast<const DepthModel&>(model);
}

inline KeptTrace walk(const Model& model, const Batch& batch,
                      const std::vector<Tensor>* replay = nullptr, bool training = false) {
  WalkOptions options;
  options.training = training;
  options.replay = replay;
  Pass pass;
  pass.training = training;
  const DepthProgram program = depth(model).program_of(pass, batch.tokens_BT.size(0));
  return run_kept(depth(model).walk(), program, batch, options);
}

// The carry after all injections of the step's door, in their order.
inline Carry pass_door(const StepSpec& step, const DepthWalk& walk, const Rows& rows, Carry carry,
                       const RandomField& random) {
  DoorSite site{step.layer.width, &step, 0};
  Tensor gate_R1;
  for (const Injection& injection : step.layer.door) {
    carry = inject(injection, site, walk.params(), rows, std::move(carry), gate_R1, random, {});
    ++site.number;
  }
  return carry;
}

// Steps of a dense trace once more, from `start`, with the decisions of the whole walk.
struct Segment {
  size_t first = 0, last = 0;  // steps [first, last)
  bool live_carry = true;      // false: no gradient into the carry it starts from
  bool live_params = true;     // false: no gradient into the weights it uses
};
inline Carry walk_again(const DepthWalk& walk, const DepthProgram& program, const KeptTrace& trace,
                        const Segment& segment, const Carry& start, WalkOptions options) {
  options.follow = &trace;
  options.read = false;
  if (!segment.live_params) options.params = std::make_shared<const Params>(frozen(walk.params()));
  WalkState state = trace.state(std::min(segment.first, trace.steps.size() - 1));
  state.next = {segment.first, 0};
  state.travel.carry = segment.live_carry ? start : start.detached();
  walk.advance(program, state, segment.last, {}, options, nullptr);
  return state.travel.carry;
}

// Of each layer's own head, (R, V), in the graph.
inline std::vector<Tensor> layer_logits(const Model& model, const KeptTrace& trace) {
  std::vector<Tensor> all;
  for (size_t i = 0; i < trace.steps.size(); ++i) {
    const LinearParams& head = depth(model).walk().params().head.at(int(i));
    all.push_back(linear(trace.h(trace.steps[i]), head.weight, head.bias));
  }
  return all;
}

}  // namespace fathom::testing
