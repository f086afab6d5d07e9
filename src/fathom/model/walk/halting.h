// Is a token's answer good enough? A score from its reading, and the decision.
#pragma once

#include <fmt/format.h>

#include "fathom/model/spec/policy.h"
#include "fathom/model/walk/readout.h"

namespace fathom {

struct HaltDecision {
  Tensor score_R;  // no gradient; infinite where a rule of changes has nothing to compare with yet
  Tensor halts_R;  // bool: as the rule says of score and threshold, and the row is valid
};

// Of kMax, kGold and kBernoulli, whose score is the probability that the row halts with and of
// which `halts_R` is left to a draw; walks decide by the other rules in deciding.cpp. `layer` picks
// the threshold. `gold`: the targets may be looked at (training passes); otherwise HaltRule::kGold
// scores like kMax. A score that is not a number never halts. `valid_R` undefined: all rows are.
HaltDecision decide(const HaltingConfig& config, size_t layer, const Reading& reading,
                    const Tensor& targets_R, const Tensor& valid_R, bool gold);

inline void bind(const HaltingGateSpec& spec, const PartPlace&, NamedTensors& tensors,
                 Params& params) {
  params.halting_gate[spec.instance] =
      tensors.linear(fmt::format("halting_gate.{}", spec.instance));
}

}  // namespace fathom
