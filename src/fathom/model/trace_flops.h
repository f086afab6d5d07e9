// Multiplications and additions that a walk really made (2 per multiply-add), counted from what it
// left of itself: rows that went through a block, keys that they met, rows that were read out.
#pragma once

#include "fathom/model/walk/walk.h"

namespace fathom {

// `gradients`: with those of the backward pass, twice the forward's, of steps that have any. An
// experiment's own functions are not known here.
double flops_of(const DepthWalk& walk, const DepthProgram& program, const Trace& trace,
                bool gradients);

}  // namespace fathom
