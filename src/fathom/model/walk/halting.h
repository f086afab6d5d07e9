// Is a token's answer good enough? A score from its reading, and the decision.
#pragma once

#include "fathom/model/spec/policy.h"
#include "fathom/model/walk/readout.h"

namespace fathom {

struct HaltDecision {
  Tensor score_R;  // no gradient
  Tensor halts_R;  // bool: score >= the layer's threshold, and the row is valid
};

// `layer` picks the threshold. `gold`: the targets
// may be looked at (training passes); otherwise HaltRule::kGold scores like kMax. A score that is
// not a number never halts. `valid_R` undefined: all rows are.
HaltDecision decide(const HaltingConfig& config, size_t layer, const Reading& reading,
                    const Tensor& targets_R, const Tensor& valid_R, bool gold);

// At the end of an iteration of the loop group: `state_RC` and the one of the iteration before
// (undefined, or rows of NaN: there was none, and the row goes on); `reading` of the iteration's
// last step, if it has a readout.
HaltDecision decide(const HaltingConfig& config, int group, const Tensor& state_RC,
                    const Tensor& before_RC, const Reading& reading, const Tensor& valid_R);

}  // namespace fathom
