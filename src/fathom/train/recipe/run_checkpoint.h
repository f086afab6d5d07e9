// Which checkpoint of a run is meant.
#pragma once

#include <string>

#include "fathom/train/recipe/run_state.h"

namespace fathom {

// The folder of a complete checkpoint of `run`, a run's name or folder. `which`: best, last,
// another one's name, or its path; auto: best where there is one, else last. `takes_checkpoint` as
// resolve_run() has it. Throws Error(kUsage).
std::string run_checkpoint(const std::string& run, const std::string& which,
                           bool takes_checkpoint = false);

// The folder of a complete checkpoint: `name` itself, or run_checkpoint() of the run. Throws
// Error(kUsage).
std::string checkpoint_or_run(const std::string& name);

// load_state(); of a state that cannot be read the manifest says best what is wrong.
RunState verified_state(const std::string& checkpoint);

}  // namespace fathom
