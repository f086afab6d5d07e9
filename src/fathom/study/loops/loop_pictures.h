// Pictures of the ways that the first text's tokens take.
#pragma once

#include <vector>

#include "fathom/study/loops/loop_facts.h"

namespace fathom {

// Of each group, by iteration, how far each of a few tokens still goes.
std::vector<report::Plot> token_plots(const LoopFacts& facts);
// On pairs of principal axes, a line a token: of all groups one behind the other, where there are
// several, of each group, and of its last iterations; then, if so asked, each token's alone. A mark
// is shaped by its group and shaded by how deep it is.
std::vector<report::Plot> trajectory_plots(const LoopFacts& facts);

}  // namespace fathom
