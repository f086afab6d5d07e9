// The sections of a configuration, put together.
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/policy.h"

namespace fathom {
namespace {

struct Depth {
  DepthPlan plan;
  Policy policy;
};

Depth make_depth(const ModelConfig& config) {
  Depth depth;
  const auto change = [&](const auto& section) { apply(section, depth.plan, depth.policy); };
  change(config.backbone);
  change(config.supervision);
  change(config.halting);
  change(config.early_exit);
  if (config.architecture == nullptr || !config.architecture->change_plan) return depth;
  config.architecture->change_plan(config, depth.plan, depth.policy);
  check_plan(depth.plan);
  check_policy(depth.policy);
  return depth;
}

}  // namespace

DepthPlan make_depth_plan(const ModelConfig& config) {
  return make_depth(config).plan;
}

Policy make_policy(const ModelConfig& config) {
  return make_depth(config).policy;
}

}  // namespace fathom
