// What follows from the keys that a resume changes, beyond what they say themselves.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// One sentence each; none where nothing follows. `step`: how many steps were made, with so many
// `updates`; unset: as many. Throws Error(kUsage) where `after` freezes what there is not, or
// everything.
std::vector<std::string> consequences(const RunConfig& before, const RunConfig& after, int64_t step,
                                      std::optional<int64_t> updates = {});

}  // namespace fathom
