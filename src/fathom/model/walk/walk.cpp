#include "fathom/model/walk/walk.h"

#include <fmt/format.h>

#include <set>

#include "fathom/base/error.h"
#include "fathom/model/walk/graph.h"

namespace fathom {

std::vector<const StepRecord*> Trace::readouts() const& {
  std::vector<const StepRecord*> out;
  for (const StepRecord& step : steps)
    if (step.readout >= 0) out.push_back(&step);
  return out;
}

DepthWalk::DepthWalk(DepthPlan plan, const BackboneConfig& backbone, Params params,
                     RowFunctions functions)
    : plan_(std::move(plan)),
      backbone_(backbone),
      params_(std::move(params)),
      frozen_params_(std::make_shared<const Params>(frozen(params_))),
      functions_(std::move(functions)) {
  check_plan(plan_);
  settings_.gelu = backbone.activation == Activation::kGelu ? GeluForm::kExact : GeluForm::kTanh;
  settings_.norm_eps = backbone.norm_eps;
  std::set<std::string> called;
  for (const Wiring& wiring : plan_.wirings) {
    const WiringParts parts = check_wiring(wiring);
    keep_y_ = keep_y_ || parts.reads_y;
    parts_.push_back(parts);
    called.insert(parts.functions.begin(), parts.functions.end());
  }
  for (const std::string& name : called)
    if (functions_.count(name) == 0)
      fail(fmt::format("a wiring calls F.{}, which nobody has defined", name),
           "give it to the model as ModelParts::functions, in the experiment's model.cpp");
  for (const auto& [name, function] : functions_)
    if (called.count(name) == 0)
      fail(fmt::format("F.{} is defined, and no wiring calls it", name),
           "call it in the plan's wiring, in the experiment's presets.cpp");
}

DropoutSource DepthWalk::dropout(const Rows& rows, double p, const WalkOptions& options) const {
  if (!options.training) return {};
  return [&rows, &options, p](const std::string& site, int64_t width) {
    return options.random.row_draws(site, p, rows, width);
  };
}

Carry DepthWalk::stem(const Rows& rows, const WalkOptions& options) const {
  for (const int64_t position : rows.positions())
    if (position >= backbone_.block_size)
      fail(fmt::format("{} positions do not fit block_size = {}", position + 1,
                       backbone_.block_size));
  Carry carry = inject(plan_.stem, params_, rows, options.random, settings_);
  const double p = backbone_.embed_dropout.value_or(backbone_.dropout);
  if (const DropoutSource source = dropout(rows, p, options))
    carry.r_RC = apply_dropout(carry.r_RC, source("embedding", carry.r_RC.size(-1)));
  return carry;
}

WalkState DepthWalk::begin(std::shared_ptr<const Rows> rows, const WalkOptions& options) const {
  WalkState state;
  state.travel.carry = stem(*rows, options);
  if (plan_.stem.cut) state.travel.carry = state.travel.carry.detached();
  state.rows = std::move(rows);
  return state;
}

Trace DepthWalk::run(const DepthProgram& program, const Batch& batch,
                     const WalkOptions& options) const {
  return run(program, std::make_shared<const Rows>(batch), batch.targets_BT, options);
}

Trace DepthWalk::run(const DepthProgram& program, std::shared_ptr<const Rows> rows,
                     const Tensor& targets_R, const WalkOptions& options) const {
  const GraphIf graph(options.cache == nullptr);
  Trace trace;
  trace.all = rows;
  trace.steps.reserve(program.steps.size());
  WalkState state = begin(std::move(rows), options);
  if (options.cache != nullptr) state.waiting = std::move(options.cache->waiting);
  advance(program, state, program.steps.size(), targets_R, options, &trace);
  if (options.cache != nullptr) options.cache->waiting = std::move(state.waiting);
  trace.end = std::move(state.travel.carry);
  return trace;
}

Reading DepthWalk::read(const StepSpec& step, const Carry& carry, const ReadoutRequest& request,
                        const Params& params) const {
  if (!step.layer.readout) fail(fmt::format("step {} has no readout", step.index));
  const Tensor n_RC = norm(carry.r_RC, params.norm(step.layer.readout->norm), settings_);
  return readout(n_RC, params.head.at(step.layer.readout->head), request);
}

}  // namespace fathom
