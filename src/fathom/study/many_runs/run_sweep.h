// The runs of a sweep, a few at a time, each a process of its own.
#pragma once

#include <cstdint>

#include "fathom/study/many_runs/sweep_plan.h"

namespace fathom {

// Recipe and plan beside the runs, so that the sweep can be gone on with by its name, and compared.
// Throws Error.
void keep_sweep(const SweepPlan& plan);

struct SweepOptions {
  int64_t jobs = 1;    // runs at a time, which share the threads
  bool quiet = false;  // no progress of the runs, only their outcomes
};
// Trains what is left, and says what becomes of it. The exit code: 0, 1 where a run failed, or 128
// and a StopSignal, which each run was given.
int run_sweep(const SweepPlan& plan, const SweepOptions& options);

}  // namespace fathom
