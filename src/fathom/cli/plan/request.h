// `fathom plan PLAN [EXPERIMENT] [config files] [--key=value ...]`, and `fathom plan list`
#pragma once

#include "fathom/config/command_line.h"

namespace fathom {

// Shows a training plan stage by stage and every mistake in it, without a step being made. Returns
// the exit code: 2 where something is wrong.
int run_plan(const Arguments& arguments);

}  // namespace fathom
