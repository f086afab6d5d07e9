#include "fathom/model/walk/halting.h"

namespace fathom {

HaltDecision decide(const HaltingConfig& config, size_t layer, const Reading& reading,
                    const Tensor& targets_R, const Tensor& valid_R, bool gold) {
  HaltDecision d;
  if (config.rule == HaltRule::kGold && gold && targets_R.defined())
    d.score_R = reading.ln_p_confidence_R.exp().masked_fill(targets_R.lt(0), 0);
  else
    d.score_R = reading.ln_max_confidence_R.exp();
  d.halts_R = d.score_R.ge(config.threshold_at(layer));
  if (valid_R.defined()) d.halts_R = d.halts_R.logical_and(valid_R);
  return d;
}

}  // namespace fathom
