// What `fathom doctor` looks at, judged. The engine is asked as a child process, for it may be what
// is broken.
#pragma once

#include <vector>

#include "fathom/base/processors.h"
#include "fathom/machine/doctor.h"

namespace fathom {

// What fathom itself sees: build, processors, settings, memory, folders, run store. `wanted`: the
// threads that fathom starts.
std::vector<Check> machine_checks(const Machine& machine, const ThreadChoice& wanted);
// What `fathom-engine doctor` says; its first check is whether it starts. Sets the environment that
// the engine's libraries read. Takes a second, 120 at the most.
std::vector<Check> engine_checks(int allowed, const ThreadChoice& wanted);

// A line each, and a hint where there is one, to standard output at once.
void print_checks(const std::vector<Check>& checks);

}  // namespace fathom
