// Blocks that are computed again in the backward pass, instead of keeping what that needs of them
// (Chen et al. 2016): memory for one block more in place of memory for all, and a third more time.
#pragma once

#include <functional>

#include "fathom/model/carry.h"

namespace fathom {

// block(carry), of which nothing is kept but `carry`. `block` is called once more when gradients
// come, and must then compute the same; it owns whatever it uses. Gradients of what it uses besides
// the carry go to its leaves directly.
Carry recomputed(const std::function<Carry(Carry)>& block, const Carry& carry);

}  // namespace fathom
