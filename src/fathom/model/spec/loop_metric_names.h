// What metrics of loop groups are called: loops, loop_iterations, loop_saved and loop_exits, each
// of them "NAME/GROUP", and of loop_exits "NAME/GROUP.k". Torch-free.
#pragma once

#include <string>
#include <vector>

#include "fathom/model/spec/depth_plan.h"

namespace fathom {

// loop_group_names() as one word each: "layers_2-3", "layer_4", "layer_4_inner".
std::vector<std::string> loop_group_keys(const DepthPlan& plan);

// Runs that were begun by a program before these names have the groups' numbers, in the order of
// the plan, and keep them: "train/loops/0".
bool numbers_loop_group(const std::string& series);
// "train/loops/layers_2-3" as such a run has it; other names stay as they are.
std::string with_numbered_group(const std::string& series, const std::vector<std::string>& keys);

}  // namespace fathom
