#include "fathom/study/loops/pca.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

DenseMatrix centred(const DenseMatrix& points, const std::vector<double>& mean) {
  DenseMatrix out = points;
  for (size_t i = 0; i < out.rows; ++i)
    for (size_t j = 0; j < out.columns; ++j) out.at(i, j) -= mean[j];
  return out;
}

DenseMatrix transposed(const DenseMatrix& a) {
  DenseMatrix out(a.columns, a.rows);
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j < a.columns; ++j) out.at(j, i) = a.at(i, j);
  return out;
}

// Of the rows with one another.
DenseMatrix products(const DenseMatrix& a) {
  DenseMatrix out(a.rows, a.rows);
  for (size_t i = 0; i < a.rows; ++i)
    for (size_t j = 0; j <= i; ++j)
      out.at(i, j) = out.at(j, i) = dot(a.row(i), a.row(j), a.columns);
  return out;
}

void turn_to_positive(double* axis, size_t n) {
  const double* largest = std::max_element(
      axis, axis + n, [](double a, double b) { return std::abs(a) < std::abs(b); });
  if (largest == axis + n || *largest >= 0) return;
  for (size_t j = 0; j < n; ++j) axis[j] = -axis[j];
}

}  // namespace

DenseMatrix Pca::project(const DenseMatrix& points) const {
  const DenseMatrix x = centred(points, mean);
  DenseMatrix out(points.rows, axes.rows);
  for (size_t i = 0; i < x.rows; ++i)
    for (size_t k = 0; k < axes.rows; ++k) out.at(i, k) = dot(x.row(i), axes.row(k), x.columns);
  return out;
}

Pca pca(const DenseMatrix& points, size_t components) {
  const size_t N = points.rows, C = points.columns;
  Pca out;
  out.mean.assign(C, 0);
  out.axes = DenseMatrix(components, C);
  out.ratios.assign(components, 0);
  if (N == 0) return out;
  for (size_t i = 0; i < N; ++i)
    for (size_t j = 0; j < C; ++j) out.mean[j] += points.at(i, j) / static_cast<double>(N);
  const DenseMatrix x = centred(points, out.mean), x_t = transposed(x);
  const double total = dot(x.values.data(), x.values.data(), x.values.size());
  if (!(total > 0)) return out;
  // The smaller of the two matrices of products has the same eigenvalues.
  const bool by_points = N < C;
  const Eigen eigen = largest_eigen(products(by_points ? x : x_t), components);
  for (size_t k = 0; k < eigen.values.size(); ++k) {
    if (!(eigen.values[k] > 1e-14 * total)) continue;
    out.ratios[k] = eigen.values[k] / total;
    double* axis = out.axes.row(k);
    for (size_t j = 0; j < C; ++j)
      axis[j] = by_points ? dot(eigen.vectors.row(k), x_t.row(j), N) / std::sqrt(eigen.values[k])
                          : eigen.vectors.at(k, j);
    turn_to_positive(axis, C);
  }
  return out;
}

}  // namespace fathom
