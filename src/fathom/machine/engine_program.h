// `fathom-engine` as seen from `fathom`: where it is, and the environment it needs.
#pragma once

#include <string>

namespace fathom {

std::string engine_path();  // beside this program, whether there is one or not

// For the libraries that read their settings when they are loaded: as many OpenMP threads as
// choose_threads() finds (base/processors.h), and threads that soon sleep while they wait, for on a
// shared core spinning ones cost a factor of ten. What the user has set stays where it means
// something. `sharing`: so many processes like this one have the same processors.
void set_thread_environment(int sharing = 1);

// Throws Error where this process may have less address space (ulimit -v) than the engine's
// libraries want while they are loaded: some of them wait for ever for what they do not get.
void require_address_space();

}  // namespace fathom
