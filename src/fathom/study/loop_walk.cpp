#include "fathom/study/loop_walk.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {
namespace {

const ReadoutSpec& last_readout(const DepthProgram& program) {
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step)
    if (step->layer.readout) return *step->layer.readout;
  fail("the model reads nothing out");
}

}  // namespace

LoopWalk::LoopWalk(const DepthModel& model) : LoopWalk(model, model.program().policy) {}

LoopWalk::LoopWalk(const DepthModel& model, Policy given)
    : model_(model), policy_(std::move(given)), groups_(loop_group_names(model.walk().plan())) {
  require_loops(model.walk().plan(), "the model");
  Params params = frozen(model.walk().params());
  params.each([](Tensor& t) {
    if (t.defined()) t = t.to(at::kDouble);
  });
  params_ = std::make_shared<const Params>(std::move(params));
}

DepthProgram LoopWalk::program(int64_t count) const {
  const DepthPlan& plan = model_.walk().plan();
  Policy policy = with_loop_counts(plan, policy_, count);
  policy.halting = {};
  for (LoopPolicy& loop : policy.loops) loop.backprop_depth = 0;
  return unroll(plan, policy);
}

WalkOptions LoopWalk::options(uint64_t seed) const {
  WalkOptions options;
  options.read = false;
  options.params = params_;
  options.random = RandomField(seed, 0, 0);
  return options;
}

LoopTrack LoopWalk::run(const DepthProgram& program, const std::vector<int64_t>& tokens,
                        uint64_t seed) const {
  const at::NoGradGuard no_grad;
  Batch batch;
  batch.tokens_BT =
      index_tensor(tokens, params_->token_table.begin()->second.device()).unsqueeze(0);
  LoopTrack track;
  track.program = program;
  track.rows = std::make_shared<const Rows>(batch);
  const Kept kept = {"door"};
  WalkOptions options = this->options(seed);
  WalkState state = model_.walk().begin(track.rows, options);
  state.travel.carry = state.travel.carry.map([](const Tensor& t) { return t.to(at::kDouble); });
  options.observe = kept.observer();
  model_.walk().advance(program, state, program.steps.size(), {}, options, nullptr);
  for (const StepSpec& step : program.steps) {
    track.doors.push_back(kept.door(step.index));
    if (step.index > 0) track.after_RC.push_back(track.doors.back()->travel.carry.r_RC);
  }
  track.after_RC.push_back(state.travel.carry.r_RC);
  return track;
}

void LoopWalk::advance(const DepthProgram& program, WalkState& state, size_t last,
                       uint64_t seed) const {
  model_.walk().advance(program, state, last, {}, options(seed), nullptr);
}

Tensor LoopWalk::ln_p(const Tensor& x_RC) const {
  const ReadoutSpec& readout = last_readout(model_.program());
  BlockSettings settings;
  settings.norm_eps = model_.walk().backbone().norm_eps;
  const LinearParams& head = params_->head.at(readout.head);
  const Tensor n_RC = norm(x_RC, params_->norm(readout.norm), settings);
  return at::log_softmax(linear(n_RC, head.weight, head.bias), -1);
}

}  // namespace fathom
