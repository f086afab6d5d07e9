#include "fathom/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {
namespace {

struct Candidate {
  int64_t token = 0;
  double score = 0;  // after the penalty
};

// The finite scores, in order of their ids.
std::vector<Candidate> candidates(Span<const float> scores, Span<const int64_t> produced,
                                  double penalty) {
  std::vector<char> seen(penalty == 1 ? 0 : scores.size(), 0);
  for (const int64_t token : produced)
    if (static_cast<size_t>(token) < seen.size()) seen[static_cast<size_t>(token)] = 1;
  std::vector<Candidate> all;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) continue;
    double score = scores[i];
    if (!seen.empty() && seen[i] != 0) score = score > 0 ? score / penalty : score * penalty;
    all.push_back({static_cast<int64_t>(i), score});
  }
  if (all.empty())
    fail("no next token has a finite score", "its weights are damaged, or its wiring overflows");
  return all;
}

using Weight = std::function<double(const Candidate&)>;

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.score > b.score;
}

void keep_at_least(std::vector<Candidate>& all, double score) {
  all.erase(std::remove_if(all.begin(), all.end(),
                           [score](const Candidate& c) { return c.score < score; }),
            all.end());
}

void keep_top_k(std::vector<Candidate>& all, int64_t k) {
  if (k >= static_cast<int64_t>(all.size())) return;
  std::vector<Candidate> by_rank = all;
  std::nth_element(by_rank.begin(), by_rank.begin() + (k - 1), by_rank.end(), is_likelier);
  keep_at_least(all, by_rank[static_cast<size_t>(k - 1)].score);
}

void keep_top_p(std::vector<Candidate>& all, double p, const Weight& weight) {
  std::stable_sort(all.begin(), all.end(), is_likelier);
  double total = 0, sum = 0;
  for (const Candidate& c : all) total += weight(c);
  size_t kept = 0;
  while (kept < all.size() && (kept == 0 || sum < p * total)) sum += weight(all[kept++]);
  all.resize(kept);
  std::sort(all.begin(), all.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
}

}  // namespace

int64_t sample_token(Span<const float> scores, Span<const int64_t> produced,
                     const SamplerOptions& options, double u) {
  std::vector<Candidate> all = candidates(scores, produced, options.repetition_penalty);
  // The first of the largest: is_likelier(b, a) is "a is less likely than b".
  const Candidate best = *std::max_element(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return is_likelier(b, a); });
  if (options.greedy) return best.token;
  // Where denormal numbers count as 0 one of them would be a division by 0.
  const double temperature = std::max(options.temperature, std::numeric_limits<double>::min());
  // Of the largest it is 1, however small the temperature.
  const Weight weight = [&](const Candidate& c) {
    return std::exp((c.score - best.score) / temperature);
  };
  if (options.top_k) keep_top_k(all, *options.top_k);
  if (options.top_p < 1) keep_top_p(all, options.top_p, weight);
  if (options.min_p > 0) keep_at_least(all, best.score + temperature * std::log(options.min_p));
  double total = 0, sum = 0;
  for (const Candidate& c : all) total += weight(c);
  for (const Candidate& c : all)
    if (u * total < (sum += weight(c))) return c.token;
  return all.back().token;  // rounding must not fall behind it
}

}  // namespace fathom
