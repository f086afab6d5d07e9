#include "fathom/study/loops/dynamics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/study/loops/loop_facts.h"

namespace fathom {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double distance(const DenseMatrix& a, const DenseMatrix& b) {
  if (a.values.size() != b.values.size()) return kUnknown;
  double squares = 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    const double d = a.values[i] - b.values[i];
    squares += d * d;
  }
  return std::sqrt(squares);
}

double length(const double* x, size_t n) {
  return std::sqrt(dot(x, x, n));
}

}  // namespace

std::vector<double> drift_to_loop(const std::vector<std::vector<DenseMatrix>>& groups) {
  std::vector<double> out;
  for (size_t g = 0; g + 1 < groups.size(); ++g) {
    const std::vector<DenseMatrix>& x = groups[g];
    if (x.empty() || groups[g + 1].empty()) {
      out.push_back(kUnknown);
      continue;
    }
    std::vector<double> moves;
    if (g > 0 && !groups[g - 1].empty()) moves.push_back(distance(groups[g - 1].back(), x[0]));
    for (size_t i = 0; i + 1 < x.size(); ++i) moves.push_back(distance(x[i], x[i + 1]));
    double mean = 0;
    for (const double move : moves) mean += move / static_cast<double>(moves.size());
    out.push_back(mean > 0 ? distance(x.back(), groups[g + 1][0]) / mean : kUnknown);
  }
  return out;
}

Convergence convergence_of(const std::vector<DenseMatrix>& states) {
  Convergence out;
  for (size_t k = 0; k + 1 < states.size(); ++k) {
    const DenseMatrix &before = states[k], &after = states[k + 1];
    const size_t T = after.rows, C = after.columns;
    if (before.columns != C || (k > 0 && states[k - 1].columns != C)) {
      for (std::vector<double>* list :
           {&out.change, &out.norm, &out.relative, &out.angle, &out.drift})
        list->push_back(kUnknown);
      continue;
    }
    const auto n = static_cast<double>(T);
    double change = 0, relative = 0, angle = 0, norm = 0;
    std::vector<double> delta(C), earlier(C);
    for (size_t t = 0; t < T; ++t) {
      for (size_t j = 0; j < C; ++j) {
        delta[j] = after.at(t, j) - before.at(t, j);
        if (k > 0) earlier[j] = before.at(t, j) - states[k - 1].at(t, j);
      }
      const double moved = norm_of(delta), size = length(after.row(t), C);
      change += moved / n;
      norm += size / n;
      relative += moved / size / n;
      if (k > 0) angle += dot(delta.data(), earlier.data(), C) / (moved * norm_of(earlier)) / n;
    }
    out.change.push_back(change);
    out.norm.push_back(norm);
    out.relative.push_back(relative);
    out.angle.push_back(k > 0 ? angle : kUnknown);
    out.drift.push_back(kUnknown);
  }
  return out;
}

MeanCurve mean_curve(const std::vector<std::vector<double>>& curves) {
  size_t longest = 0;
  for (const auto& curve : curves) longest = std::max(longest, curve.size());
  MeanCurve out;
  for (size_t i = 0; i < longest; ++i) {
    std::vector<double> values;
    for (const auto& curve : curves)
      if (i < curve.size() && std::isfinite(curve[i])) values.push_back(curve[i]);
    const auto n = static_cast<double>(values.size());
    double mean = 0, squares = 0;
    for (const double v : values) mean += v / n;
    for (const double v : values) squares += (v - mean) * (v - mean);
    out.mean.push_back(values.empty() ? kUnknown : mean);
    out.sd.push_back(values.empty() ? kUnknown : n > 1 ? std::sqrt(squares / (n - 1)) : 0);
  }
  return out;
}

}  // namespace fathom
