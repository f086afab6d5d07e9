#include "fathom/model/walk/halting.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include "fathom/base/error.h"

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

HaltDecision decide(const HaltingConfig& config, int group, const Tensor& state_RC,
                    const Tensor& before_RC, const Reading& reading, const Tensor& valid_R) {
  HaltDecision d;
  if (config.rule != HaltRule::kLatentChange) {
    if (!reading.ln_max_confidence_R.defined())
      misuse(fmt::format("loop group {} halts by what its last layer answers, and that has no "
                         "readout",
                         group),
             "give the layer one, or halt by the change of the state");
    return decide(config, static_cast<size_t>(group), reading, {}, valid_R, /*gold=*/false);
  }
  const Tensor state = state_RC.detach();
  d.score_R = before_RC.defined() ? (state - before_RC).norm(2, {1}) / state.norm(2, {1})
                                  : at::full({state.size(0)}, 1.0, state.options());
  d.halts_R = d.score_R.lt(config.threshold);
  if (!before_RC.defined()) d.halts_R = at::zeros_like(d.halts_R);
  if (valid_R.defined()) d.halts_R = d.halts_R.logical_and(valid_R);
  return d;
}

}  // namespace fathom
