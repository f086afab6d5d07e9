// What enters the residual stream at a step's door.
#pragma once

#include "fathom/model/carry.h"
#include "fathom/model/params.h"
#include "fathom/model/random_field.h"

namespace fathom {

// The carry after the step's injections, in their order: width layer.width_in in, layer.width out.
//   gate         g = sigmoid(gate(r)), (R, 1), of r as it is when the gate's turn comes
//   widen        zeros are appended to r (and y)
//   token table  r + E[token], or g * E[token] + (1 - g) * r after a gate
//   open loop    x0 = r from here until the loop closes
//   loop input   state s = r, on the first iteration noise or x0; then x0 + s, or A [x0; s]; on the
//                first iteration without noise and without adapter just x0
Carry inject(const StepSpec& step, const Params& params, const Rows& rows, Carry carry,
             const RandomField& random);

}  // namespace fathom
