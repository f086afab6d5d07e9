// Numbers of each row's next-token distribution, by which rules halt: (R) float64, natural
// logarithms, without a graph. Where there are kernels nothing but the result is made, and a row's
// bits do not depend on the rows beside it.
//
// R rows, V vocabulary; scores are divided by the temperature.
#pragma once

#include "fathom/ops/tensor.h"

namespace fathom {

Tensor entropies(const Tensor& scores_RV, double temperature);
// The largest probability less the second one; with one token, its own.
Tensor margins(const Tensor& scores_RV, double temperature);
// KL(p(a) | p(b)), not below 0.
Tensor divergences(const Tensor& a_RV, const Tensor& b_RV, double temperature);

}  // namespace fathom
