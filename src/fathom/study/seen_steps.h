// What a walk shows of its steps, for who looks at sizes: the carry on both sides of each block,
// and whatever the block makes.
//
// R rows, C channels.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fathom/model/depth_model.h"

namespace fathom {

struct SeenStep {
  Tensor before_RC;  // the carry behind the door
  Tensor n_RC;       // its norm, which the block begins with
  Tensor head_RC;    // what the head is given; undefined: the step reads nothing out
  std::vector<std::pair<std::string, Tensor>> values;  // a, m and what is assigned, in order

  // The carry after the block: the last r.
  Tensor after() const;
  // The first of that name but for that last r; undefined: there is none.
  Tensor first(const std::string& name) const;
  // The carry on its way: the first that is assigned but n, y and the last r; undefined: the block
  // assigns r at once.
  Tensor middle() const;
};

// Fills in `seen`, which has the program's steps and outlives the walk.
Observer seen_steps_observer(std::vector<SeenStep>& seen);

// The model's own program, but nobody halts: every row is there at every step, with a graph.
DepthProgram whole_program(const DepthModel& model);
// Throws Error for a program without a readout.
const StepSpec& last_readout_step(const DepthProgram& program);
// The layer's number in the plan, in loops "1.2".
std::string step_name(const StepSpec& step);

}  // namespace fathom
