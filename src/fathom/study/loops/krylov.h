// What a linear map that nobody writes down does to vectors: by applying it a few times.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "fathom/study/loops/matrix.h"

namespace fathom {

using LinearMap = std::function<std::vector<double>(const std::vector<double>&)>;

// The largest absolute value of the eigenvalues of an n x n map. Power iteration that keeps what it
// has seen (Arnoldi; Saad, Numerical Methods for Large Eigenvalue Problems, 2011, 6.2), `steps`
// applications: exact for n <= steps, whatever the eigenvalues, and otherwise the estimate of a
// subspace; a pair of complex ones is no trouble.
double spectral_radius(const LinearMap& map, size_t n, size_t steps);
// The largest singular value, by Golub's and Kahan's bidiagonalisation; the estimate of fewer steps
// than n is from below.
double operator_norm(const LinearMap& map, const LinearMap& transposed, size_t n, size_t steps);

// Of a matrix that is there: by squaring it, |A^(2^k)|^(1 / 2^k) (Gelfand).
double spectral_radius(const DenseMatrix& a);

}  // namespace fathom
