// The straight program that one pass carries out: a plan, unrolled as a policy says. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {

// The end of a loop's iteration, after a step and its readout. Rows may halt there.
struct LoopEnd {
  LoopPlace place;
  bool closes = false;  // the last iteration: the rows that left the loop come back
  int number = -1;      // among the program's ends at which rows may halt; -1: it closes
  // By what the state is asked for the next token's distribution: the last layer's readout, or, if
  // that has none, the plan's last one. False: its width is another.
  bool reads = false;
  ReadoutSpec readout = {};
  HaltingGateSpec gate = {};
};

// One step of a walk.
struct StepSpec {
  LayerSpec layer;  // `layer.door` with the loops that open and their inputs
  int index = 0;    // of the step in its program
  // What the step is by the plan, whatever other loops' counts are: its layer's number in the order
  // of the plan, the number of its first call of an attention among the plan's, and its path.
  int place = 0, attention_place = 0;
  std::vector<LoopPlace> path;  // the loops that it stands in, outermost first
  int cache_slot = 0;           // of its first attention's keys and values
  int readout = -1;             // its number among the program's readouts; -1: it has none
  bool grad = true;             // false: computed without a graph, but for Injection::grad
  std::vector<LoopEnd> ends;    // innermost first

  // Names an address of the step's random numbers: "mlp_out.3", in loops "mlp_out.3@0.2".
  std::string site(const std::string& what, int number) const;
  // Of a loop's first state, at the step that opens it: whatever iteration that is.
  std::string opening_site(int group) const;
  // Of its readout's line in losses and metrics: the layer's number, in loops "1.2".
  std::string readout_name() const;
};

struct DepthProgram {
  std::vector<StepSpec> steps;
  Policy policy;
  int readouts = 0, loop_ends = 0;
  int cache_slots = 0;

  size_t depth() const { return steps.size(); }
  const LoopPolicy& loop(int group) const;
  const HaltingPolicy& loop_halting(int group) const { return loop(group).halting; }
};

// Throws Error(kUsage) for a policy that does not fit the plan.
DepthProgram unroll(const DepthPlan& plan, const Policy& policy = {});

}  // namespace fathom
