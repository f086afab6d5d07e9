#include "fathom/model/spec/parameter_table.h"

#include <fmt/format.h>

#include <functional>

#include "fathom/base/error.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/each_part.h"

namespace fathom {
namespace {

constexpr double kBytesPerNumber = 4.0;  // fp32

void add_times(const Cost& cost, double times, Cost& sum) {
  for (double Flops::*of : {&Flops::attention_linear, &Flops::attention_scores, &Flops::mlp,
                            &Flops::head, &Flops::doors, &Flops::own})
    sum.flops.*of += times * cost.flops.*of;
  sum.kept += times * cost.kept;
}

// How often a step's layer runs.
using Times = std::function<double(const StepSpec& step)>;

// Of the stem and the program's steps.
Cost cost_of(const DepthPlan& plan, const DepthProgram& program, const CostSetting& setting,
             const Times& times) {
  std::vector<WiringParts> called;
  for (const Wiring& wiring : plan.wirings) called.push_back(check_wiring(wiring));
  Cost sum, cost;
  const auto add_part = [&](const auto& part, const PartPlace& place, int calls) {
    for (int i = 0; i < calls; ++i) part.cost(place, setting, cost);
  };
  each_call_of_stem(plan, add_part);
  add_times(cost, 1, sum);
  for (const StepSpec& step : program.steps) {
    const double n = times(step);
    if (n == 0) continue;
    cost = {};
    each_call(plan, step.layer, called.at(static_cast<size_t>(step.layer.wiring)), add_part);
    add_times(cost, n, sum);
  }
  return sum;
}

// Loops whose counts training draws, in two iterations: the second stands for all further ones.
Policy in_two_iterations(Policy policy) {
  for (LoopPolicy& loop : policy.loops)
    if (loop.sampler.draws()) loop.count = loop.sampler.mean() > 1 ? 2 : 1;
  return policy;
}

// As often as in a training pass on average.
double mean_times(const StepSpec& step, const Policy& policy) {
  double times = 1;
  for (const LoopPlace& place : step.path) {
    const auto g = static_cast<size_t>(place.group);
    const bool drawn = g < policy.loops.size() && policy.loops[g].sampler.draws();
    if (drawn && place.iteration > 0) times *= policy.loops[g].sampler.mean() - 1;
  }
  return times;
}

}  // namespace

std::vector<ParameterSpec> parameter_table(const DepthPlan& plan, const BackboneConfig& backbone,
                                           int64_t vocab_size) {
  ParameterList list(backbone, vocab_size, plan.effective_layers);
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
  return cost_of(plan, program, {backbone, vocab_size, T}, [](const StepSpec&) { return 1; }).flops;
}

Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T) {
  const DepthPlan plan = make_depth_plan(config);
  const Policy policy = as_trained(make_policy(config));
  Flops flops =
      cost_of(plan, unroll(plan, in_two_iterations(policy)), {config.backbone, vocab_size, T},
              [&](const StepSpec& step) { return mean_times(step, policy); })
          .flops;
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
  Policy policy = as_trained(make_policy(config));
  for (LoopPolicy& loop : policy.loops)
    if (loop.sampler.draws()) loop.count = loop.sampler.largest();
  const Cost cost = cost_of(plan, unroll(plan, policy), {config.backbone, vocab_size, T},
                            [](const StepSpec& step) { return step.grad ? 1 : 0; });
  m.activations = kBytesPerNumber * static_cast<double>(B * T) * cost.kept;
  return m;
}

}  // namespace fathom
