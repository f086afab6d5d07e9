// Newton-Schulz iterations: odd polynomials of a matrix's singular values, made of products alone,
// which take them towards 1 and leave their vectors. Without a graph.
#pragma once

#include <cstdint>
#include <vector>

#include "fathom/ops/tensor.h"

namespace fathom {

// s -> a s + b s^3 + c s^5
struct Quintic {
  double a, b, c;
};

// One after the other, of a matrix X (n, m) with n <= m: X <- a X + (b XX' + c (XX')^2) X.
Tensor newton_schulz(Tensor X, const std::vector<Quintic>& steps);

// The nearest matrix with orthonormal rows or columns, roughly: singular values in about [0.7,
// 1.2], for those that are above a hundredth of the largest. A quintic Newton-Schulz iteration
// (Jordan et al. 2024).
Tensor orthogonalised(const Tensor& matrix, int64_t steps);

// The same to 1e-3, for singular values above a thousandth of the Frobenius norm: the eight steps
// of Amsel et al. 2025 (Polar Express), from X / (1.01 |X|_F). Each of `more` steps takes values
// 1.875 times as small along. X (n, m), n <= m; of nothing nothing is made.
Tensor polar_express(const Tensor& X, int64_t more = 0);

}  // namespace fathom
