// The sections of a configuration, put together.
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/model/spec/depth_program.h"

namespace fathom {
namespace {

struct Depth {
  DepthPlan plan;
  Policy policy;
};

// Blocks that an experiment makes itself leave a typed wiring nothing to say.
void check_wiring_is_used(const ModelConfig& config, const DepthPlan& plan) {
  if (!config.wiring.has_wiring()) return;
  const std::string typed = to_text(typed_wiring(config.wiring));
  bool is_used = false;
  each_layer(plan, [&](const LayerSpec& layer) {
    const Wiring& wiring = plan.wirings.at(static_cast<size_t>(layer.wiring));
    is_used = is_used || to_text(wiring) == typed;
  });
  if (!is_used)
    misuse(fmt::format("wiring = {}: the experiment {} makes the blocks of its layers itself",
                       in_quotes(config.wiring.wiring), config.architecture->name),
           "leave the wiring out, or take another preset");
}

Depth make_depth(const ModelConfig& config) {
  Depth depth;
  depth.plan.effective_layers = effective_layers(config);
  depth.policy.own = config.own;
  const auto change = [&](const auto& section) { apply(section, depth.plan, depth.policy); };
  change(config.backbone);
  change(config.supervision);
  change(config.halting);
  change(config.early_exit);
  change(config.looping);
  apply(config.wiring, config.backbone, depth.plan);
  scale_logits(config.backbone, depth.plan);
  // A list by group is in the order in which groups are written.
  const auto halt_loops = [&] {
    apply(config.loop_halting, depth.plan, depth.policy,
          loop_places(config.looping, config.backbone.n_layer));
  };
  if (config.architecture == nullptr || !config.architecture->change_plan) {
    halt_loops();
    if (depth.policy.layers > 0) unroll(depth.plan, depth.policy);  // throws where nothing repeats
    return depth;
  }
  config.architecture->change_plan(config, depth.plan, depth.policy);
  // Who says whether rows halt is asked in many places.
  if (depth.policy.halting.config.rule != config.halting.rule)
    fail(fmt::format("the experiment {} changes the walk's halting rule in its change_plan",
                     config.architecture->name),
         "set c.model.halting.rule in its presets: the sections give readouts by it");
  halt_loops();  // of an experiment's loops as well
  check_plan(depth.plan);
  check_wiring_is_used(config, depth.plan);
  unroll(depth.plan, depth.policy);  // throws for a policy that does not fit
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
