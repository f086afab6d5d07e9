#include "fathom/model/spec/parameter_table.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <type_traits>

#include "fathom/base/error.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_program.h"
#include "fathom/model/spec/each_part.h"
#include "fathom/model/spec/readout_uses.h"

namespace fathom {
namespace {

constexpr double kBytesPerNumber = 4.0;  // fp32

void add_times(const Cost& cost, double times, Cost& sum) {
  for (double Flops::*of : {&Flops::attention_linear, &Flops::attention_scores, &Flops::mlp,
                            &Flops::head, &Flops::doors, &Flops::own, &Flops::backward})
    sum.flops.*of += times * cost.flops.*of;
  sum.kept += times * cost.kept;
}

// A pass, as far as it costs something.
struct CountedPass {
  const DepthPlan& plan;
  const DepthProgram& program;
  // How often a step's layer runs.
  std::function<double(const StepSpec& step)> times = [](const StepSpec& /*step*/) { return 1.0; };
  std::vector<ReadoutUse> uses = {};  // as readout_uses() has them

  ReadoutUse use_of(const StepSpec& step) const {
    return step.readout < 0 ? ReadoutUse::kNone
           : uses.empty()   ? ReadoutUse::kTaught
                            : uses.at(static_cast<size_t>(step.readout));
  }
};

// Of the stem and the program's steps.
Cost cost_of(const CountedPass& pass, const CostSetting& setting) {
  std::vector<WiringParts> called;
  for (const Wiring& wiring : pass.plan.wirings) called.push_back(check_wiring(wiring));
  Cost sum;
  const auto add = [&](const auto& part, const PartPlace& place, double times, bool grad) {
    Cost cost;
    part.cost(place, setting, cost);
    cost.flops.backward = grad ? 2 * cost.flops.forward() : 0;
    add_times(cost, times, sum);
  };
  each_call_of_stem(pass.plan, [&](const auto& part, const PartPlace& place, int calls) {
    add(part, place, calls, /*grad=*/true);
  });
  for (const StepSpec& step : pass.program.steps) {
    const double n = pass.times(step);
    if (n == 0) continue;
    LayerSpec layer = step.layer;
    const ReadoutUse use = pass.use_of(step);
    if (use == ReadoutUse::kNone) layer.readout.reset();
    each_call(pass.plan, layer, called.at(static_cast<size_t>(layer.wiring)),
              [&](const auto& part, const PartPlace& place, int calls) {
                using P = std::decay_t<decltype(part)>;
                double times = n;
                bool grad = step.grad;
                if constexpr (std::is_same_v<P, ReadoutSpec>)
                  grad = grad && use == ReadoutUse::kTaught;
                if constexpr (std::is_same_v<P, Injection>) {
                  grad = part.grad;
                  if (!part.every_iteration) times = 1;  // whoever comes to the loop passes it once
                }
                add(part, place, calls * times, grad);
              });
  }
  return sum;
}

// Loops whose counts training draws at their mean, which is rounded up.
Policy at_mean_counts(Policy policy) {
  for (LoopPolicy& loop : policy.loops)
    if (loop.sampler.draws()) loop.count = static_cast<int64_t>(std::ceil(loop.sampler.mean()));
  return policy;
}

// As often as in a training pass on average: a loop that is shorter begins later, and has the same
// end.
double mean_times(const StepSpec& step, const Policy& policy) {
  double times = 1;
  for (const LoopPlace& place : step.path) {
    const auto g = static_cast<size_t>(place.group);
    if (place.iteration > 0 || g >= policy.loops.size()) continue;
    const LoopSampler& sampler = policy.loops[g].sampler;
    if (sampler.draws()) times *= 1 - (std::ceil(sampler.mean()) - sampler.mean());
  }
  return times;
}

std::vector<ReadoutUse> trained_uses(const ModelConfig& config, const DepthProgram& program) {
  return readout_uses(make_supervision(config.supervision, config.backbone.n_layer), program);
}

// Halting gates learn from what the state would answer at the end of each iteration, which itself
// has no gradient.
double flops_of_gates(const CountedPass& pass, const CostSetting& setting) {
  double flops = 0;
  for (const StepSpec& step : pass.program.steps)
    for (const LoopEnd& end : step.ends) {
      if (!end.gate.is_there()) continue;
      PartPlace place = parts::place_in(pass.plan);
      place.width = step.layer.width;
      Cost cost;
      end.readout.cost(place, setting, cost);
      flops += pass.times(step) * cost.flops.head;
    }
  return flops;
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
  return cost_of({plan, program}, {backbone, vocab_size, T}).flops;
}

Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T) {
  const DepthPlan plan = make_depth_plan(config);
  const Policy policy = as_trained(make_policy(config));
  const DepthProgram program = unroll(plan, at_mean_counts(policy));
  const CountedPass pass = {plan, program,
                            [&](const StepSpec& step) { return mean_times(step, policy); },
                            trained_uses(config, program)};
  const CostSetting setting = {config.backbone, vocab_size, T};
  Flops flops = cost_of(pass, setting).flops;
  flops.head += flops_of_gates(pass, setting);
  for (const ParameterSpec& spec : parameter_table(config, vocab_size)) {
    if (spec.part != Part::kOwn || spec.shape.size() != 2) continue;
    flops.own += 2 * static_cast<double>(spec.count());
    flops.backward += 4 * static_cast<double>(spec.count());
  }
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
  const DepthProgram program = unroll(plan, policy);
  const Cost cost = cost_of({plan, program, [](const StepSpec& step) { return step.grad ? 1 : 0; },
                             trained_uses(config, program)},
                            {config.backbone, vocab_size, T});
  m.activations = kBytesPerNumber * static_cast<double>(B * T) * cost.kept;
  return m;
}

}  // namespace fathom
