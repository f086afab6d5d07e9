// How an iteration of a loop stretches what comes to it: eigenvalues and singular values of its
// Jacobian, which nobody writes down.
#pragma once

#include <vector>

#include "fathom/study/loop_walk.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {

struct JacobianOptions {
  // The layers alone, over the token alone: no context, no adapter, no injection.
  bool block_only = false;
  int64_t steps = 24;  // applications of the map (loops/krylov.h); exact for C up to it
  uint64_t seed = 0;   // of the walk's noise
};

// Of the map from a token's state x_k to x_{k + 1}, with everything else held fast: other tokens,
// what entered the loop, and, where the wiring reads it, the block before. `iteration` is at least
// 1: before the first there is no state. Transposed products come from the graph, the others from
// central differences in fp64.
LoopJacobian jacobian_of(const LoopWalk& walk, const LoopTrack& track, size_t group,
                         int64_t iteration, size_t token, const JacobianOptions& options = {});

}  // namespace fathom
