// Depth that a pass chooses: of a plan whose layers share their weights in a cycle, more steps than
// it has layers go on with the cycle, and fewer cut it off. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "fathom/model/spec/depth_plan.h"

namespace fathom {

// Layers of a pass of `count`, the last of which answers as the plan's last one does. Readouts are
// numbered on. Throws Error(kUsage) where the plan has loops, or where its layers, their heads,
// widths or doors (but for the first layer's) do not repeat: with a period below their number.
std::vector<LayerSpec> cycled_layers(const DepthPlan& plan, int64_t count);

// In how many layers the plan's parts repeat; 0: they do not.
int64_t cycle_length(const DepthPlan& plan);

}  // namespace fathom
