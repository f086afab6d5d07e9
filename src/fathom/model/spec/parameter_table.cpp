#include "fathom/model/spec/parameter_table.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/each_part.h"

namespace fathom {
namespace {

constexpr double kBytesPerNumber = 4.0;  // fp32

// Of the stem and the program's steps, or of those alone that a gradient goes through.
Cost cost_of(const DepthPlan& plan, const DepthProgram& program, const CostSetting& setting,
             bool grad_only) {
  std::vector<WiringParts> called;
  for (const Wiring& wiring : plan.wirings) called.push_back(check_wiring(wiring));
  Cost cost;
  const auto add = [&](const auto& part, const PartPlace& place, int calls) {
    for (int i = 0; i < calls; ++i) part.cost(place, setting, cost);
  };
  each_call_of_stem(plan, add);
  for (const StepSpec& step : program.steps)
    if (step.grad || !grad_only)
      each_call(plan, step.layer, called.at(static_cast<size_t>(step.layer.wiring)), add);
  return cost;
}

}  // namespace

std::vector<ParameterSpec> parameter_table(const DepthPlan& plan, const BackboneConfig& backbone,
                                           int64_t vocab_size) {
  ParameterList list(backbone, vocab_size);
  each_part(plan, [&](const auto& part, const PartPlace& place) { part.declare(place, list); });
  return list.take();
}

std::vector<ParameterSpec> parameter_table(const ModelConfig& config, int64_t vocab_size) {
  const DepthPlan plan = make_depth_plan(config);
  std::vector<ParameterSpec> table = parameter_table(plan, config.backbone, vocab_size);
  if (config.architecture == nullptr || !config.architecture->add_parameters) return table;
  for (ParameterSpec& spec : config.architecture->add_parameters(config, plan, vocab_size)) {
    for (const ParameterSpec& known : table)
      if (known.name == spec.name)
        fail(fmt::format("{} adds the parameter {}, which is there already",
                         config.architecture->name, spec.name),
             "begin its name with the experiment's");
    spec.part = Part::kOwn;
    table.push_back(std::move(spec));
  }
  return table;
}

int64_t parameter_count(const std::vector<ParameterSpec>& table) {
  int64_t n = 0;
  for (const ParameterSpec& spec : table) n += spec.count();
  return n;
}

Flops flops_per_token(const DepthPlan& plan, const DepthProgram& program,
                      const BackboneConfig& backbone, int64_t vocab_size, int64_t T) {
  return cost_of(plan, program, {backbone, vocab_size, T}, /*grad_only=*/false).flops;
}

Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T) {
  const DepthPlan plan = make_depth_plan(config);
  Flops flops =
      flops_per_token(plan, unroll(plan, make_policy(config)), config.backbone, vocab_size, T);
  for (const ParameterSpec& spec : parameter_table(config, vocab_size))
    if (spec.part == Part::kOwn && spec.shape.size() == 2)
      flops.own += 2 * static_cast<double>(spec.count());
  return flops;
}

MemoryEstimate training_memory(const ModelConfig& config, int64_t vocab_size, int64_t B,
                               int64_t T) {
  MemoryEstimate m;
  m.parameters =
      kBytesPerNumber * static_cast<double>(parameter_count(parameter_table(config, vocab_size)));
  m.gradients = m.parameters;
  m.optimizer = 2 * m.parameters;  // AdamW's two moments; describe takes another's
  const DepthPlan plan = make_depth_plan(config);
  const Cost cost = cost_of(plan, unroll(plan, make_policy(config)),
                            {config.backbone, vocab_size, T}, /*grad_only=*/true);
  m.activations = kBytesPerNumber * static_cast<double>(B * T) * cost.kept;
  return m;
}

}  // namespace fathom
