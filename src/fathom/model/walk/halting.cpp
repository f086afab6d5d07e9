#include "fathom/model/walk/halting.h"

#include <ATen/ops/full_like.h>

#include "fathom/base/error.h"
#include "fathom/ops/few_rows.h"

namespace fathom {

HaltDecision decide(const HaltingConfig& config, size_t layer, const Reading& reading,
                    const Tensor& targets_R, const Tensor& valid_R, bool gold) {
  HaltDecision d;
  switch (config.rule) {
    case HaltRule::kMax:
    case HaltRule::kGold:
    case HaltRule::kBernoulli:
      break;
    default:
      fail("a walk's rule that remembers decides by its memory", "loop_rule.h has it");
  }
  if (config.rule == HaltRule::kGold && gold && targets_R.defined())
    d.score_R = reading.ln_p_confidence_R.exp().masked_fill(targets_R.lt(0), 0);
  else
    d.score_R = exps(reading.ln_max_confidence_R);
  if (config.rule == HaltRule::kBernoulli) {
    if (config.cap) d.score_R = d.score_R.clamp_max(*config.cap);
    return d;
  }
  d.halts_R = both(at_least(d.score_R, config.threshold_at(layer)), valid_R);
  return d;
}

}  // namespace fathom
