// How ranks find one another in a store that may outlive a start and hold what earlier ones have
// left there, while each launcher's agent counts starts for itself: by names drawn for this start.
#pragma once

#ifdef USE_C10D_GLOO
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "fathom/parallel/launch_reach.h"
#include "fathom/parallel/ranks.h"

namespace fathom {

// Returns when all are there: the name of this meeting, below which keys are theirs alone. By
// libtorch 1.13 the store answers within half of options.timeout from now on, or throws. Throws
// Error: who did not come; that another process has become this rank. Where a store does not answer
// and 2.6 does not throw, the process ends with that sentence.
std::string meet(c10d::Store& store, const Launch& launch, const RanksOptions& options, Wait& wait);

// Below a meeting's name; there from its beginning.
std::string key_of_presence(int rank);

[[noreturn]] void fail_to_meet(const Launch& launch, const RanksOptions& options,
                               const std::string& why);

}  // namespace fathom
#endif
