// From next-token scores to a token. Torch-free.
#pragma once

#include <cstdint>
#include <optional>

#include "fathom/base/span.h"

namespace fathom {

// Acts in this order: repetition penalty, top k, temperature, top p, min p. (Temperature commutes
// with the two before it.)
struct SamplerOptions {
  double temperature = 1.0;  // > 0, divides the scores
  std::optional<int64_t> top_k =
      {};  // only scores at least as large as the k-th largest; ties stay
  // The likeliest tokens until their probability reaches p, the one that crosses it among them
  // (Holtzman et al. 2020); of equal ones those with the lower ids. 0 < p <= 1.
  double top_p = 1.0;
  double min_p = 0.0;  // only tokens at least so many times as likely as the likeliest; 0: all
  // Positive. Divides positive scores of tokens that the text has already produced, and multiplies
  // negative ones: more than 1 always makes them less likely (Keskar et al. 2019).
  double repetition_penalty = 1.0;
  bool greedy = false;  // the first of the likeliest
};

// The token whose interval of the cumulative distribution holds `u`, uniform in [0, 1). `produced`:
// the text's own tokens, for the penalty. NaN scores are never drawn. Throws Error when no score is
// finite.
int64_t sample_token(Span<const float> scores, Span<const int64_t> produced,
                     const SamplerOptions& options, double u);

}  // namespace fathom
