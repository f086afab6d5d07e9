// Shift tokens: a sequence's first token says how far ahead each of its other tokens predicts. Of a
// text with the ids 0 .. V0 - 1 shift s has the id V0 + s - 1, so S of them make the vocabulary one
// of V0 + S. They have no text.
#pragma once

#include <cstdint>
#include <vector>

namespace fathom {

// Of a text with `text_vocab` ids, the id of shift `shift` (at least 1).
inline int64_t shift_id(int64_t text_vocab, int64_t shift) {
  return text_vocab + shift - 1;
}

enum class ShiftDist {
  kGeometric,  // p, p (1 - p), p (1 - p)^2, ...; the largest shift has all that is left
  kUniform,    // each as likely as the others
  kZipf,       // as s^-a among 1 .. S: the far ones are rare, but not by orders of magnitude
};

// How often a row has which shift.
struct ShiftOdds {
  int64_t max_shift = 0;  // S
  ShiftDist dist = ShiftDist::kGeometric;
  double p = 0.8;       // kGeometric: 0 < p <= 1
  double zipf_a = 1.5;  // kZipf: > 0
};

// Entry s - 1: the probability of shift s. They add up to 1. Throws Error(kUsage) for max_shift
// below 1, a p that is no probability above 0, and a zipf_a that is not above 0.
std::vector<double> shift_probabilities(const ShiftOdds& odds);

// The shift in whose part of [0, 1) `u` lies.
int64_t shift_at(const std::vector<double>& probabilities, double u);

}  // namespace fathom
