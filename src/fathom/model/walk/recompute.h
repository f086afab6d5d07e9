// Blocks that are computed again in the backward pass, instead of keeping what that needs of them
// (Chen et al. 2016): memory for one block more in place of memory for all, and a third more time.
#pragma once

#include <functional>

#include "fathom/model/walk/carry.h"

namespace fathom {

// block(carry, again = false), of which nothing is kept but `carry`. `block` is called once more,
// `again`, when gradients come, and must then compute the same; what it uses must still be there.
// Gradients of what it uses besides the carry are added to its leaves' block by block, not in one
// sum.
Carry recomputed(const std::function<Carry(Carry, bool again)>& block, const Carry& carry);

}  // namespace fathom
