// The passes over parameters that an optimiser makes: over kernels/optimizer.h where there are
// kernels, else in plain torch calls. Without a graph.
#pragma once

#include "fathom/kernels/optimizer.h"
#include "fathom/ops/tensor.h"

namespace fathom {

double squared_norm(const Tensor& x);

// `w` by its gradient, in place, and its moments.
void adamw(const AdamWStep& step, const Tensor& w, const Tensor& m, const Tensor& v);

}  // namespace fathom
