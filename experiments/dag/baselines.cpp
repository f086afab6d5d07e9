#include "experiments/dag/baselines.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace fathom::dag {
namespace {

// The least of those that are there most often.
template <class T>
T most_frequent(const std::vector<T>& all) {
  std::map<T, int64_t> counts;
  for (const T& x : all) ++counts[x];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// The one of them that is right most often.
double best_result(const std::vector<double>& results, double rtol) {
  double best = results.front();
  int64_t most = 0;
  for (const double result : results) {
    const auto right = std::count_if(results.begin(), results.end(),
                                     [&](double truth) { return is_right(result, truth, rtol); });
    if (right > most) most = right, best = result;
  }
  return best;
}

// Of the programs with the numbers `learned`.
Guess constant_of(const TruePrograms& truth, const std::vector<int64_t>& learned) {
  Guess guess;
  for (int64_t d = 0; d < truth.D; ++d) {
    std::vector<int64_t> ops;
    for (const int64_t p : learned) ops.push_back(truth.op[size_t(p * truth.D + d)]);
    guess.op.push_back(most_frequent(ops));
  }
  for (int64_t v = 0; v < truth.V; ++v) {
    std::vector<double> signs = {1};  // where none is used
    double sum = 0, count = 0;
    for (const int64_t p : learned) {
      const auto at = size_t(p * truth.V + v);
      if (truth.used[at] == 0) continue;
      signs.push_back(truth.sign[at]);
      sum += truth.log[at], count += 1;
    }
    guess.sign.push_back(most_frequent(signs));
    guess.log.push_back(count > 0 ? sum / count : 0);
  }
  std::vector<std::vector<int64_t>> programs;
  std::vector<double> results;
  std::vector<bool> negative;
  for (const int64_t p : learned) {
    programs.emplace_back(truth.program(p), truth.program(p) + truth.D);
    results.push_back(truth.result[size_t(p)]);
    negative.push_back(results.back() < 0);
  }
  guess.program = most_frequent(programs);
  for (size_t i = 0; i < kTolerances.size(); ++i)
    guess.result.at(i) = best_result(results, kTolerances.at(i));
  guess.negative = most_frequent(negative);
  return guess;
}

}  // namespace

bool is_right(double result, double truth, double rtol) {
  return std::abs(result - truth) <= std::max(1e-6, rtol * std::abs(truth));
}

std::array<std::optional<Guess>, 2> constant_guesses(const TruePrograms& truth) {
  std::array<std::vector<int64_t>, 2> learned;  // by who learns from them
  for (int64_t p = 0; p < truth.P; ++p) {
    const int64_t sequence = truth.sequence[size_t(p)];
    if (p > 0 && truth.number[size_t(p - 1)] == truth.number[size_t(p)]) continue;
    learned.at(size_t(1 - sequence % 2)).push_back(p);
  }
  std::array<std::optional<Guess>, 2> guesses;
  for (size_t half = 0; half < 2; ++half)
    if (!learned.at(half).empty()) guesses.at(half) = constant_of(truth, learned.at(half));
  return guesses;
}

}  // namespace fathom::dag
