#include "fathom/model/spec/early_policy.h"

#include "fathom/base/error.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/model_config.h"

namespace fathom {

Policy early_policy(const ModelConfig& config) {
  Policy policy = make_policy(config);
  if (unroll(make_depth_plan(config), policy).readouts < 2)
    misuse("draft = exit needs a model whose early layers answer, and here only the last one does",
           "one trained with a halt_rule or layer_supervision = all, or --draft=none");
  HaltingConfig& halting = policy.halting.config;
  halting.rule = HaltRule::kMax;
  halting.threshold = 0;  // always met
  halting.thresholds.clear();
  halting.use = HaltUse::kAnswer;
  policy.halting.keys = KeyFate::kHidden;
  policy.halting.history = MaskHistory::kCumulative;
  return policy;
}

}  // namespace fathom
