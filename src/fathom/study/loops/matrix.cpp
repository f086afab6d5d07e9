#include "fathom/study/loops/matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "fathom/base/random.h"

namespace fathom {
namespace {

constexpr size_t kSmall = 40;  // all eigenvalues of such a matrix cost no more than a few
constexpr size_t kBeside = 8;  // directions kept besides those asked for
constexpr int kMostRounds = 400, kMostSweeps = 60;

// Rotates so that a(p, q) becomes 0; `v` takes the same rotation of its rows.
void rotate(DenseMatrix& a, DenseMatrix& v, size_t p, size_t q) {
  const double theta = (a.at(q, q) - a.at(p, p)) / (2 * a.at(p, q));
  const double t = (theta < 0 ? -1 : 1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
  const double c = 1 / std::sqrt(t * t + 1), s = t * c;
  for (size_t k = 0; k < a.rows; ++k) {
    const double x = a.at(k, p), y = a.at(k, q);
    a.at(k, p) = c * x - s * y;
    a.at(k, q) = s * x + c * y;
  }
  for (size_t k = 0; k < a.rows; ++k) {
    const double x = a.at(p, k), y = a.at(q, k);
    a.at(p, k) = c * x - s * y;
    a.at(q, k) = s * x + c * y;
  }
  for (size_t k = 0; k < v.columns; ++k) {
    const double x = v.at(p, k), y = v.at(q, k);
    v.at(p, k) = c * x - s * y;
    v.at(q, k) = s * x + c * y;
  }
}

// Rows made orthonormal, one after the other; twice, for once leaves rounding.
void orthonormalise(DenseMatrix& q) {
  const RandomStream random(1, "subspace/again");
  for (size_t i = 0; i < q.rows; ++i) {
    double* x = q.row(i);
    for (int attempt = 0; attempt < 3; ++attempt) {
      const double before = std::sqrt(dot(x, x, q.columns));
      for (int pass = 0; pass < 2; ++pass)
        for (size_t j = 0; j < i; ++j) {
          const double along = dot(x, q.row(j), q.columns);
          for (size_t k = 0; k < q.columns; ++k) x[k] -= along * q.row(j)[k];
        }
      const double length = std::sqrt(dot(x, x, q.columns));
      if (length > 1e-12 * before) {
        for (size_t k = 0; k < q.columns; ++k) x[k] /= length;
        break;
      }
      // Nothing new in this direction: any other one.
      for (size_t k = 0; k < q.columns; ++k) x[k] = random.normal(i * q.columns + k);
    }
  }
}

// Rows of q times the symmetric a.
DenseMatrix times(const DenseMatrix& q, const DenseMatrix& a) {
  DenseMatrix out(q.rows, a.columns);
  for (size_t i = 0; i < q.rows; ++i)
    for (size_t j = 0; j < a.rows; ++j) out.at(i, j) = dot(q.row(i), a.row(j), a.columns);
  return out;
}

}  // namespace

double dot(const double* a, const double* b, size_t n) {
  // Four sums that do not wait for one another.
  double sums[4] = {0, 0, 0, 0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double norm_of(const std::vector<double>& x) {
  return std::sqrt(dot(x.data(), x.data(), x.size()));
}

double distance(const double* a, const double* b, size_t n) {
  double squares = 0;
  for (size_t i = 0; i < n; ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squares);
}

Eigen symmetric_eigen(const DenseMatrix& given) {
  DenseMatrix a = given;
  const size_t n = a.rows;
  DenseMatrix v(n, n);
  double all = 0;
  for (size_t i = 0; i < n; ++i) v.at(i, i) = 1;
  for (const double x : a.values) all += x * x;
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double off = 0;
    for (size_t p = 0; p < n; ++p)
      for (size_t q = p + 1; q < n; ++q) off += a.at(p, q) * a.at(p, q);
    if (!(off > 1e-32 * all)) break;
    for (size_t p = 0; p < n; ++p)
      for (size_t q = p + 1; q < n; ++q)
        if (a.at(p, q) != 0) rotate(a, v, p, q);
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t i, size_t j) { return a.at(i, i) > a.at(j, j); });
  Eigen out;
  out.vectors = DenseMatrix(n, n);
  for (size_t i = 0; i < n; ++i) {
    out.values.push_back(a.at(order[i], order[i]));
    std::copy(v.row(order[i]), v.row(order[i]) + n, out.vectors.row(i));
  }
  return out;
}

Eigen largest_eigen(const DenseMatrix& a, size_t count) {
  const size_t n = a.rows;
  count = std::min(count, n);
  Eigen out;
  if (n <= kSmall) {
    out = symmetric_eigen(a);
  } else {
    DenseMatrix q(std::min(n, count + kBeside), n);
    const RandomStream random(1, "subspace");
    for (size_t i = 0; i < q.values.size(); ++i) q.values[i] = random.normal(i);
    orthonormalise(q);
    for (int round = 0; round < kMostRounds; ++round) {
      const DenseMatrix z = times(q, a);
      DenseMatrix inner(q.rows, q.rows);
      for (size_t i = 0; i < q.rows; ++i)
        for (size_t j = 0; j < q.rows; ++j) inner.at(i, j) = dot(z.row(i), q.row(j), n);
      const Eigen ritz = symmetric_eigen(inner);
      // z turned to Ritz's directions is the next q, and their values are these.
      DenseMatrix next(q.rows, n), here(q.rows, n);
      for (size_t i = 0; i < q.rows; ++i)
        for (size_t j = 0; j < q.rows; ++j)
          for (size_t k = 0; k < n; ++k) {
            next.at(i, k) += ritz.vectors.at(i, j) * z.at(j, k);
            here.at(i, k) += ritz.vectors.at(i, j) * q.at(j, k);
          }
      double change = 0;
      for (size_t i = 0; i < count; ++i)
        change =
            std::max(change, out.values.empty() ? 1.0 : std::abs(ritz.values[i] - out.values[i]));
      const bool settled = !out.values.empty() && change <= 1e-13 * std::abs(ritz.values[0]);
      out = {ritz.values, std::move(here)};
      if (settled) break;
      q = std::move(next);
      orthonormalise(q);
    }
  }
  out.values.resize(count);
  out.vectors.rows = count;
  out.vectors.values.resize(count * n);
  return out;
}

}  // namespace fathom
