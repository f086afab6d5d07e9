#include "fathom/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {

int64_t sample_token(Span<const float> scores, const SamplerOptions& options, double u) {
  std::vector<float> finite;
  for (const float s : scores)
    if (std::isfinite(s)) finite.push_back(s);
  if (finite.empty()) fail("no next token has a finite score", "the model's weights are damaged");

  float threshold = -std::numeric_limits<float>::infinity();
  const auto k = static_cast<size_t>(options.top_k.value_or(static_cast<int64_t>(finite.size())));
  if (k < finite.size()) {
    std::nth_element(finite.begin(), finite.begin() + static_cast<int64_t>(k - 1), finite.end(),
                     std::greater<>());
    threshold = finite[k - 1];
  }
  const float largest = *std::max_element(finite.begin(), finite.end());
  std::vector<double> cumulative(scores.size());
  double sum = 0;
  int64_t last = 0;  // of the tokens that can be drawn: rounding must not fall behind it
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i]) && scores[i] >= threshold) {
      sum += std::exp((static_cast<double>(scores[i]) - largest) / options.temperature);
      last = static_cast<int64_t>(i);
    }
    cumulative[i] = sum;
  }
  const auto it = std::upper_bound(cumulative.begin(), cumulative.end(), u * sum);
  return it == cumulative.end() ? last : it - cumulative.begin();
}

}  // namespace fathom
