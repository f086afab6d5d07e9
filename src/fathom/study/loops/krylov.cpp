#include "fathom/study/loops/krylov.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/base/random.h"

namespace fathom {
namespace {

using Vector = std::vector<double>;

Vector start_vector(size_t n) {
  const RandomStream random(1, "krylov");
  Vector x(n);
  for (size_t i = 0; i < n; ++i) x[i] = random.normal(i);
  const double length = norm_of(x);
  for (double& v : x) v /= length;
  return x;
}

// x less its part along each of the basis; returns these parts.
Vector remove_parts(Vector& x, const std::vector<Vector>& basis) {
  Vector parts(basis.size());
  for (int pass = 0; pass < 2; ++pass)
    for (size_t j = 0; j < basis.size(); ++j) {
      const double along = dot(x.data(), basis[j].data(), x.size());
      parts[j] += along;
      for (size_t k = 0; k < x.size(); ++k) x[k] -= along * basis[j][k];
    }
  return parts;
}

// False: nothing is left of x beside `scale`.
bool normalise(Vector& x, double length, double scale) {
  if (!(length > 1e-12 * scale)) return false;
  for (double& v : x) v /= length;
  return true;
}

}  // namespace

double spectral_radius(const DenseMatrix& given) {
  DenseMatrix a = given;
  double ln = 0, weight = 1;  // the given one to 1 / weight is a times exp(ln / weight)
  for (int round = 0; round < 50; ++round) {
    double largest = 0;
    for (const double x : a.values) largest = std::max(largest, std::abs(x));
    if (largest == 0) return 0;
    if (!std::isfinite(largest)) return std::numeric_limits<double>::quiet_NaN();
    ln += weight * std::log(largest);
    for (double& x : a.values) x /= largest;
    DenseMatrix square(a.rows, a.rows);
    for (size_t i = 0; i < a.rows; ++i)
      for (size_t k = 0; k < a.rows; ++k)
        for (size_t j = 0; j < a.rows; ++j) square.at(i, j) += a.at(i, k) * a.at(k, j);
    a = square;
    weight /= 2;
  }
  return std::exp(ln);
}

double spectral_radius(const LinearMap& map, size_t n, size_t steps) {
  if (n == 0) return 0;
  std::vector<Vector> basis = {start_vector(n)};
  const size_t most = std::min(n, steps);
  DenseMatrix h(most, most);
  for (size_t k = 0;; ++k) {
    Vector x = map(basis[k]);
    const double scale = norm_of(x);
    const Vector parts = remove_parts(x, basis);
    for (size_t j = 0; j <= k; ++j) h.at(j, k) = parts[j];
    const double length = norm_of(x);
    const bool more = k + 1 < most && normalise(x, length, scale);
    if (!more) {
      DenseMatrix seen(k + 1, k + 1);
      for (size_t i = 0; i <= k; ++i)
        for (size_t j = 0; j <= k; ++j) seen.at(i, j) = h.at(i, j);
      return spectral_radius(seen);
    }
    h.at(k + 1, k) = length;
    basis.push_back(std::move(x));
  }
}

double operator_norm(const LinearMap& map, const LinearMap& transposed, size_t n, size_t steps) {
  if (n == 0) return 0;
  const size_t most = std::min(n, steps);
  std::vector<Vector> right = {start_vector(n)}, left;
  Vector alphas, betas;
  for (size_t k = 0; k < most; ++k) {
    Vector u = map(right[k]);
    const double scale = norm_of(u);
    remove_parts(u, left);
    const double alpha = norm_of(u);
    if (!normalise(u, alpha, scale)) break;
    alphas.push_back(alpha);
    left.push_back(u);
    Vector v = transposed(u);
    const double back = norm_of(v);
    remove_parts(v, right);
    const double beta = norm_of(v);
    if (!normalise(v, beta, back)) break;
    betas.push_back(beta);
    right.push_back(std::move(v));
  }
  // B has alphas on its diagonal and betas above it; B^T B is tridiagonal.
  const size_t m = alphas.size();
  if (m == 0) return 0;
  DenseMatrix seen(m, m);
  for (size_t i = 0; i < m; ++i) {
    seen.at(i, i) = alphas[i] * alphas[i] + (i > 0 ? betas[i - 1] * betas[i - 1] : 0);
    if (i + 1 < m) seen.at(i, i + 1) = seen.at(i + 1, i) = alphas[i] * betas[i];
  }
  for (const double alpha : alphas)
    if (!std::isfinite(alpha)) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(std::max(0.0, symmetric_eigen(seen).values.front()));
}

}  // namespace fathom
