// The plain model in place of one that loops or looks ahead, as a switch: use_baseline_model.
#pragma once

#include <string>
#include <vector>

#include "fathom/train/recipe/run_config.h"

namespace fathom {

// With the switch on, whatever presets and config files say of loops, blocks for them, looking
// ahead and spectral control is left out: those keys have their defaults, and a sentence in
// `notices` says which had not. Returns their names. `list` is config's own; throws Error(kUsage)
// for such a key that was typed, unless it is the default.
std::vector<std::string> settle_baseline(const FieldList& list, RunConfig& config,
                                         std::vector<std::string>& notices);

}  // namespace fathom
