// A walk's trace with what the walk showed of itself.
#pragma once

#include "fathom/model/walk/walk.h"

namespace fathom::testing {

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

}  // namespace fathom::testing
