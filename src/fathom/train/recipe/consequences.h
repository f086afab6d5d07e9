// What follows from the keys that a resume changes, beyond what they say themselves.
#pragma once

#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// One sentence each; none where nothing follows. `step`: how many steps were made. Throws
// Error(kUsage) where `after` freezes what there is not, or everything.
std::vector<std::string> consequences(const RunConfig& before, const RunConfig& after,
                                      int64_t step);

}  // namespace fathom
