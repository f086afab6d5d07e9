// What a walk really computed, as it left it in its trace.
#pragma once

#include "fathom/model/spec/flops_counter.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// Of each step: rows that went through its block, keys that were there, rows that were read out.
std::vector<StepWork> work_of(const Trace& trace);
// `counter`: of the trace's program. An experiment's own functions are not known to it.
double flops_of(const FlopsCounter& counter, const Trace& trace, bool gradients);

}  // namespace fathom
