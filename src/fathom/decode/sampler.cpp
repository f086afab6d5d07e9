#include "fathom/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {
namespace {

struct Candidate {
  int64_t token = 0;
  double score = 0;  // after temperature and penalty
};

// The finite scores, in order of their ids.
std::vector<Candidate> candidates(Span<const float> scores, Span<const int64_t> produced,
                                  const SamplerOptions& options) {
  std::vector<Candidate> all;
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isfinite(scores[i]))
      all.push_back({static_cast<int64_t>(i), scores[i] / options.temperature});
  if (all.empty()) fail("no next token has a finite score", "the model's weights are damaged");
  if (options.repetition_penalty == 1) return all;
  const std::set<int64_t> seen(produced.begin(), produced.end());
  for (Candidate& c : all)
    if (seen.count(c.token) > 0)
      c.score *= c.score > 0 ? 1 / options.repetition_penalty : options.repetition_penalty;
  return all;
}

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

void keep_top_p(std::vector<Candidate>& all, double p, double largest) {
  std::stable_sort(all.begin(), all.end(), is_likelier);
  double total = 0, sum = 0;
  for (const Candidate& c : all) total += std::exp(c.score - largest);
  size_t kept = 0;
  while (kept < all.size() && (kept == 0 || sum < p * total))
    sum += std::exp(all[kept++].score - largest);
  all.resize(kept);
  std::sort(all.begin(), all.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
}

}  // namespace

int64_t sample_token(Span<const float> scores, Span<const int64_t> produced,
                     const SamplerOptions& options, double u) {
  std::vector<Candidate> all = candidates(scores, produced, options);
  // The first of the largest: is_likelier(b, a) is "a is less likely than b".
  const Candidate best = *std::max_element(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return is_likelier(b, a); });
  if (options.greedy) return best.token;
  if (options.top_k) keep_top_k(all, *options.top_k);
  if (options.top_p < 1) keep_top_p(all, options.top_p, best.score);
  if (options.min_p > 0) keep_at_least(all, best.score + std::log(options.min_p));
  double total = 0, sum = 0;
  for (const Candidate& c : all) total += std::exp(c.score - best.score);
  for (const Candidate& c : all)
    if (u * total < (sum += std::exp(c.score - best.score))) return c.token;
  return all.back().token;  // rounding must not fall behind it
}

}  // namespace fathom
