#include "fathom/model/spec/ahead_config.h"

#include <fmt/format.h>

#include "fathom/base/error.h"

namespace fathom {

ShiftOdds AheadConfig::odds() const {
  return {shift_tokens(), shift_dist, label_shift_prob, shift_zipf_a};
}

void add_fields(FieldList& list, AheadConfig& c) {
  const char* const kAhead = "predict_ahead = true";
  const auto looks_ahead = [&c] { return c.predict_ahead; };
  list.section("ahead");
  list.add("predict_ahead", c.predict_ahead,
           "rows begin with a shift token, which says how far ahead their tokens predict")
      .shapes_weights();
  list.add("max_shift", c.max_shift, "largest shift, and the rows that the token table has more")
      .at_least(1)
      .at_most(1 << 16)
      .shapes_weights()
      .needs(kAhead, looks_ahead);
  list.add("label_shift_prob", c.label_shift_prob,
           "p of geometric: shift 1 has p, each further one (1 - p) times the one before")
      .above(0)
      .at_most(1)
      .needs(kAhead, looks_ahead)
      .needs("shift_dist = geometric", [&c] { return c.shift_dist == ShiftDist::kGeometric; });
  list.add<ShiftDist>("shift_dist", c.shift_dist,
                      "how a training row's shift is drawn; geometric: cut off at max_shift, which "
                      "has the rest, uniform, zipf: as s^-shift_zipf_a",
                      {{"geometric", ShiftDist::kGeometric},
                       {"uniform", ShiftDist::kUniform},
                       {"zipf", ShiftDist::kZipf}})
      .needs(kAhead, looks_ahead);
  list.add("shift_zipf_a", c.shift_zipf_a, "a of zipf: small ones look further ahead")
      .above(0)
      .at_most(100)
      .needs(kAhead, looks_ahead)
      .needs("shift_dist = zipf", [&c] { return c.shift_dist == ShiftDist::kZipf; });
  list.add("shift", c.shift, "of an evaluation's rows, at most max_shift; 0: without a shift token")
      .at_least(0)
      .at_most(1 << 16)
      .of_policy()
      .needs(kAhead, looks_ahead);
  list.add("shift_losses", c.shift_losses,
           "evaluations of val, and `fathom eval`, also tell the loss at each shift, on the same "
           "windows, and without a shift token")
      .needs(kAhead, looks_ahead);
}

void validate(const AheadConfig& c, const BackboneConfig& b) {
  if (!c.predict_ahead) return;
  if (c.max_shift >= b.block_size)
    misuse(fmt::format("max_shift = {} is not below block_size = {}: a row has no text for it",
                       c.max_shift, b.block_size),
           "take a smaller --max_shift or a larger --block_size");
  if (c.shift > c.max_shift)
    misuse(fmt::format("shift = {} is beyond max_shift = {}", c.shift, c.max_shift),
           "take a shift of 1 to max_shift, or 0 for rows without a shift token");
}

}  // namespace fathom
