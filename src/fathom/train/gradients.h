// What is done with all gradients of a step at once, before an optimiser takes them.
#pragma once

#include "fathom/model/walk/parameters.h"

namespace fathom {

// Global L2 norm; missing gradients count as zero.
double gradient_norm(const ParameterSet& parameters);

// What to multiply gradients of that norm by for it to be at most `limit`: 1 where it is, or where
// `limit` is 0.
double clip_scale(double norm, double limit);

}  // namespace fathom
