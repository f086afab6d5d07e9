// Where and in what precision a run computes.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "fathom/base/processors.h"

namespace fathom {

// "auto" (CUDA where this libtorch has it, else the processor), "cpu", "cuda", "cuda:N". Throws
// Error(kUsage) for anything else, and for CUDA on a libtorch without it.
c10::Device choose_device(const std::string& name);

// Sets ATen's and OpenMP's threads as choose_threads() (base/processors.h) has it: 0 takes what
// suits machine and environment. Returns how many there are now, and why. They take denormal
// numbers for 0 from then on, where the processor can: moments that decay into them would slow
// training down. To be called before the first parallel work: threads that exist keep what they do.
ThreadChoice set_threads(int64_t threads);

// Whether every thread does so.
bool denormals_are_zero();

}  // namespace fathom
