// Plain matrices of fp64 numbers, for analyses that need no tensors.
#pragma once

#include <cstddef>
#include <vector>

namespace fathom {

struct DenseMatrix {
  size_t rows = 0, columns = 0;
  std::vector<double> values;  // row by row

  DenseMatrix() = default;
  DenseMatrix(size_t r, size_t c) : rows(r), columns(c), values(r * c) {}

  double& at(size_t i, size_t j) { return values[i * columns + j]; }
  double at(size_t i, size_t j) const { return values[i * columns + j]; }
  double* row(size_t i) { return values.data() + i * columns; }
  const double* row(size_t i) const { return values.data() + i * columns; }
};

double dot(const double* a, const double* b, size_t n);
double norm_of(const std::vector<double>& x);
double distance(const double* a, const double* b, size_t n);

struct Eigen {
  std::vector<double> values;  // descending
  DenseMatrix vectors;         // one a row, orthonormal
};
// All of a symmetric matrix, by Jacobi's rotations (Golub and Van Loan, Matrix Computations, 8.5):
// n^3 operations a sweep, for small ones.
Eigen symmetric_eigen(const DenseMatrix& a);
// The `count` largest of a symmetric matrix without negative ones, by subspace iteration with
// Rayleigh and Ritz's step (there, 8.2), whose start is always the same.
Eigen largest_eigen(const DenseMatrix& a, size_t count);

}  // namespace fathom
