// Passes that end at a model's first readout: cheap guesses, for others to check.
#pragma once

#include "fathom/model/spec/policy.h"

namespace fathom {

// The model's policy, but every row leaves at the first readout. Throws Error(kUsage) where that is
// the last one.
Policy early_policy(const ModelConfig& config);

}  // namespace fathom
