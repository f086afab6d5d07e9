#include "fathom/model/gate_loss.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/model/spec/loop_counts.h"

namespace fathom {
namespace {

// The rows that have entered all loops that are open there; undefined: all have.
Tensor entered(const DepthProgram& program, const std::vector<LoopPlace>& path, const Rows& rows) {
  const auto late = [&](const LoopPlace& p, size_t b) {
    const LoopPolicy& loop = program.loop(p.group);
    return !loop.counts.empty() && p.iteration < loop.count - loop.counts.at(b);
  };
  const bool any_late = std::any_of(path.begin(), path.end(), [&](const LoopPlace& p) {
    return !program.loop(p.group).counts.empty();
  });
  if (!any_late) return {};
  const Tensor out_R = at::empty({rows.count()}, at::TensorOptions(at::kBool));
  for (size_t b = 0; b < static_cast<size_t>(rows.batch()); ++b)
    std::fill(
        out_R.data_ptr<bool>() + rows.offsets()[b], out_R.data_ptr<bool>() + rows.offsets()[b + 1],
        std::none_of(path.begin(), path.end(), [&](const LoopPlace& p) { return late(p, b); }));
  return out_R.to(rows.token_R.device());
}

// One time through a loop.
struct Round {
  Tensor ln_stays_R;  // of the product of 1 - g so far
  Tensor loss_R;

  // An iteration: z_R the gate's argument, undefined at the last one; cost_R what its answer costs.
  void add(const Tensor& z_R, const Tensor& cost_R, double entropy, const Tensor& there_R) {
    Tensor ln_p_R = z_R.defined() ? ln_stays_R + at::log_sigmoid(z_R) : ln_stays_R;
    Tensor more_R = ln_p_R.exp() * (cost_R + entropy * ln_p_R);
    Tensor stays_R = z_R.defined() ? at::log_sigmoid(-z_R) : Tensor();
    if (there_R.defined()) {
      const Tensor not_R = there_R.logical_not();
      more_R = more_R.masked_fill(not_R, 0);
      if (stays_R.defined()) stays_R = stays_R.masked_fill(not_R, 0);
    }
    loss_R = loss_R + more_R;
    if (stays_R.defined()) ln_stays_R = ln_stays_R + stays_R;
  }
};

class GateLoss {
 public:
  explicit GateLoss(const WalkedBatch& walked)
      : walked_(walked),
        rows_(*walked.trace.all),
        params_(walked.walk.params()),
        targets_R_(rows_.of(walked.batch.targets_BT)) {}

  // Of the rows.
  Tensor run() {
    const DepthProgram& program = walked_.program;
    Tensor sum_R;
    std::vector<Round> open(program.policy.loops.size());
    for (const StepSpec& step : program.steps)
      for (const LoopEnd& end : step.ends) {
        if (!end.gate.is_there()) continue;
        const auto g = static_cast<size_t>(end.place.group);
        if (open.size() <= g) open.resize(g + 1);
        Round& round = open[g];
        if (end.place.iteration == 0) round = {nothing(), nothing()};
        add(step, end, round);
        if (end.closes) sum_R = sum_R.defined() ? sum_R + round.loss_R : round.loss_R;
      }
    return sum_R;
  }
  double flops() const { return flops_; }

 private:
  Tensor nothing() const {
    return at::zeros({rows_.count()}, walked_.trace.end.r_RC.options().requires_grad(false));
  }

  void add(const StepSpec& step, const LoopEnd& end, Round& round) {
    const Tensor x_RC = walked_.kept.at(step.index, iteration_name(end.place.group)).detach();
    if (!end.reads)
      misuse(fmt::format(
                 "the loop of {} learns when to halt by what its state answers, and no layer "
                 "of its width answers",
                 loop_group_names(walked_.walk.plan()).at(static_cast<size_t>(end.place.group))),
             "give its last layer a head of its own, or take loop_halt_gate = false");
    Tensor cost_R;
    {
      const at::NoGradGuard no_grad;
      ReadoutRequest request;
      request.ids_R = targets_R_;
      const LinearParams& head = params_.head.at(end.readout.head);
      const Tensor n_RC = norm(x_RC, params_.norm(end.readout.norm), walked_.walk.settings());
      cost_R = -readout(n_RC, head, request).ln_p_R;
      flops_ += 2 * static_cast<double>(n_RC.numel() * head.weight.size(0));
    }
    Tensor z_R;
    if (!end.closes) {
      const LinearParams& gate = params_.halting_gate.at(end.gate.instance);
      z_R = linear(x_RC, gate.weight, gate.bias).squeeze(1).to(x_RC.scalar_type());
    }
    std::vector<LoopPlace> path;  // as far as this loop
    for (const LoopPlace& p : step.path) {
      path.push_back(p);
      if (p.group == end.place.group) break;
    }
    round.add(z_R, cost_R, walked_.program.loop(end.place.group).gate_entropy,
              entered(walked_.program, path, rows_));
  }

  const WalkedBatch& walked_;
  const Rows& rows_;
  const Params& params_;
  Tensor targets_R_;
  double flops_ = 0;
};

}  // namespace

bool has_halting_gates(const DepthProgram& program) {
  return std::any_of(program.steps.begin(), program.steps.end(), [](const StepSpec& step) {
    return std::any_of(step.ends.begin(), step.ends.end(),
                       [](const LoopEnd& end) { return end.gate.is_there(); });
  });
}

void keep_iterations(const DepthProgram& program, Kept& kept) {
  for (const StepSpec& step : program.steps)
    for (const LoopEnd& end : step.ends)
      if (end.gate.is_there()) kept.keep(iteration_name(end.place.group));
}

LossPart gate_loss(const WalkedBatch& walked, double* flops) {
  const Batch& batch = walked.batch;
  GateLoss loss(walked);
  Tensor weight_R = walked.trace.all->of(batch.targets_BT).ne(-1);
  if (batch.weight_BT.defined())
    weight_R = walked.trace.all->of(batch.weight_BT).masked_fill(weight_R.logical_not(), 0);
  const Tensor sum_R = loss.run();
  *flops += loss.flops();
  return {kGateLoss, (sum_R.masked_fill(weight_R.eq(0), 0) * weight_R).sum(), target_count(batch)};
}

}  // namespace fathom
