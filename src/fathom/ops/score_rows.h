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
// The same of m(a) and m(b): tokens that have less than kMinP of the likeliest one's p have 1 / V,
// and what there is then is made to add up to 1 (Geiping et al. 2025). Unlikely tokens do not move
// it.
inline constexpr double kMinP = 0.1;
Tensor divergences_min_p(const Tensor& a_RV, const Tensor& b_RV);

}  // namespace fathom
