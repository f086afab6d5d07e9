// From next-token scores to a token. Torch-free.
#pragma once

#include <cstdint>
#include <optional>

#include "fathom/base/span.h"

namespace fathom {

struct SamplerOptions {
  double temperature = 1.0;      // > 0, divides the scores
  std::optional<int64_t> top_k;  // only scores at least as large as the k-th largest; ties stay
};

// The token whose interval of the cumulative distribution holds `u`, uniform in [0, 1). NaN scores
// are never drawn. Throws Error when no score is finite.
int64_t sample_token(Span<const float> scores, const SamplerOptions& options, double u);

}  // namespace fathom
