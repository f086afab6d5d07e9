#include "fathom/data/shift.h"

#include <fmt/format.h>

#include <cmath>

#include "fathom/base/error.h"

namespace fathom {

std::vector<double> shift_probabilities(const ShiftOdds& odds) {
  if (odds.max_shift < 1)
    misuse(fmt::format("max_shift = {} leaves no shift to draw", odds.max_shift),
           "take a max_shift of at least 1");
  const bool geometric = odds.dist == ShiftDist::kGeometric, zipf = odds.dist == ShiftDist::kZipf;
  if (geometric && !(odds.p > 0 && odds.p <= 1))
    misuse(fmt::format("label_shift_prob = {} is no probability above 0", odds.p),
           "take one above 0 and at most 1");
  if (zipf && !(odds.zipf_a > 0 && std::isfinite(odds.zipf_a)))
    misuse(fmt::format("shift_zipf_a = {} is not above 0", odds.zipf_a), "take 1.5, for example");
  const auto S = static_cast<size_t>(odds.max_shift);
  std::vector<double> all(S, 1.0 / static_cast<double>(S));
  if (geometric) {
    double left = 1;  // (1 - p)^(s - 1)
    for (size_t i = 0; i < S; ++i, left *= 1 - odds.p) all[i] = i + 1 < S ? odds.p * left : left;
  } else if (zipf) {
    double total = 0;
    for (size_t i = 0; i < S; ++i)
      total += all[i] = std::pow(static_cast<double>(i + 1), -odds.zipf_a);
    for (double& probability : all) probability /= total;
  }
  return all;
}

int64_t shift_at(const std::vector<double>& probabilities, double u) {
  double sum = 0;
  for (size_t i = 0; i < probabilities.size(); ++i)
    if (u < (sum += probabilities[i])) return static_cast<int64_t>(i) + 1;
  // Rounding must not fall behind the last one that can be drawn.
  size_t last = probabilities.size();
  while (last > 1 && probabilities[last - 1] == 0) --last;
  return static_cast<int64_t>(last);
}

}  // namespace fathom
