#include "fathom/study/loop_walk.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

void add_groups(const std::vector<PlanNode>& nodes, int& layers, std::vector<std::string>& names) {
  for (const PlanNode& node : nodes) {
    const auto* group = std::get_if<LoopGroup>(&node.node);
    if (group == nullptr) {
      ++layers;
      continue;
    }
    const size_t number = names.size();
    names.emplace_back();
    const int first = layers;
    add_groups(group->body, layers, names);
    names[number] = layers - first > 1 ? fmt::format("layers {}-{}", first, layers - 1)
                                       : fmt::format("layer {}", first);
  }
}

const ReadoutSpec& last_readout(const DepthProgram& program) {
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step)
    if (step->layer.readout) return *step->layer.readout;
  fail("the model reads nothing out");
}

}  // namespace

std::vector<std::string> loop_group_names(const DepthPlan& plan) {
  std::vector<std::string> names;
  int layers = 0;
  add_groups(plan.nodes, layers, names);
  return names;
}

void require_loops(const DepthPlan& plan, const std::string& who) {
  if (loop_group_names(plan).empty())
    misuse(fmt::format("{} has no loops: every layer runs once", who),
           "take a run that was trained with --loop_groups, for example "
           "--loop_groups='[[1,2]]' or --loop_groups=auto");
}

Policy with_counts(Policy policy, int64_t count) {
  for (LoopPolicy& loop : policy.loops) {
    loop.count = count;
    loop.counts.clear();
  }
  return policy;
}

LoopWalk::LoopWalk(const DepthModel& model)
    : model_(model), groups_(loop_group_names(model.walk().plan())) {
  require_loops(model.walk().plan(), "the model");
  Params params = frozen(model.walk().params());
  params.each([](Tensor& t) {
    if (t.defined()) t = t.to(at::kDouble);
  });
  params_ = std::make_shared<const Params>(std::move(params));
}

DepthProgram LoopWalk::program(int64_t count, double noise) const {
  Policy policy = model_.program().policy;
  policy.halting = {};
  policy.loops.resize(groups_.size());
  policy = with_counts(std::move(policy), count);
  for (LoopPolicy& loop : policy.loops) {
    loop.halting = {};
    loop.backprop_depth = 0;
    if (noise >= 0) loop.noise = noise;
  }
  return unroll(model_.walk().plan(), policy);
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
