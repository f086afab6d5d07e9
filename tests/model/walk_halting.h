// What tests of halting share: four layers that answer, walked by any policy.
#pragma once

#include <ATen/core/grad_mode.h>

#include <optional>
#include <vector>

#include "model/corridor_program.h"

namespace fathom::testing {

inline constexpr int64_t kHaltLayers = 4, kHaltRows = kSequences * kLength;
inline constexpr HaltRule kHaltRules[] = {
    HaltRule::kMax,      HaltRule::kMargin,    HaltRule::kLowEntropy,
    HaltRule::kConverge, HaltRule::kKl,        HaltRule::kLatentChange,
    HaltRule::kArgmax,   HaltRule::kBernoulli, HaltRule::kFixed};

// Four layers that answer, two by each of two heads.
inline DepthPlan halting_plan() {
  std::vector<PlanNode> nodes;
  for (int i = 0; i < kHaltLayers; ++i) nodes.push_back({with_readout(block(i, kWidth), i, i / 2)});
  return plan_of(nodes, kWidth);
}

inline std::unique_ptr<DepthModel> halting_model(const Policy& policy = {}) {
  return model_of_plan(halting_plan(), policy, {term_of({0, 0, 0, 1})});
}

inline Policy halting_policy(HaltRule rule, std::optional<double> threshold = {},
                             KeyFate keys = KeyFate::kHidden) {
  Policy policy;
  policy.halting.config.rule = rule;
  policy.halting.config.threshold = threshold;
  policy.halting.config.temperature = 1.3;
  policy.halting.keys = keys;
  return policy;
}

inline KeptTrace halting_walk(const DepthModel& model, const Policy& policy, const Batch& batch) {
  const at::NoGradGuard no_grad;
  return run_kept(model.walk(), unroll(model.walk().plan(), policy), batch, corridor_options());
}

using HaltNumbers = std::vector<double>;

inline HaltNumbers halting_row(const Tensor& x_RC, int64_t row) {
  return numbers(x_RC[row]);
}

inline double halting_metric(const ModelOutput& output, const std::string& name) {
  return output.metrics.at(name).sum / output.metrics.at(name).count;
}

}  // namespace fathom::testing
