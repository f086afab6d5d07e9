#include "fathom/study/loop_trajectories.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

DenseMatrix to_matrix(const Tensor& x_TC) {
  const Tensor x = x_TC.to(at::kCPU, at::kDouble).contiguous();
  DenseMatrix out(static_cast<size_t>(x.size(0)), static_cast<size_t>(x.size(1)));
  std::copy(x.data_ptr<double>(), x.data_ptr<double>() + x.numel(), out.values.begin());
  return out;
}

// The states of each group as tensors, what entered it first.
std::vector<std::vector<Tensor>> states_of(const LoopWalk& walk, const LoopTrack& track) {
  std::vector<std::vector<Tensor>> states(walk.groups().size());
  for (const StepSpec& step : track.program.steps) {
    const auto i = static_cast<size_t>(step.index);
    // A loop within another opens with what that one's input is, which only its next door tells.
    const Carry& door = track.doors[i]->travel.carry;
    for (size_t d = 0; d < step.path.size(); ++d) {
      std::vector<Tensor>& of = states[static_cast<size_t>(step.path[d].group)];
      if (of.empty()) of.push_back(door.r_RC);
      if (of.size() <= 2 && d < door.x0_RC.size() && step.path[d].iteration <= 1)
        of.front() = door.x0_RC[d];
    }
    for (const LoopEnd& end : step.ends)
      states[static_cast<size_t>(end.place.group)].push_back(track.after_RC[i]);
  }
  return states;
}

Convergence convergence_of(const LoopWalk& walk, const std::vector<Tensor>& states,
                           const std::vector<DenseMatrix>& numbers) {
  Convergence out = convergence_of(numbers);
  Tensor before_TV;
  for (size_t k = 0; k < states.size(); ++k) {
    const Tensor ln_p_TV = walk.ln_p(states[k]);
    if (k > 0) out.drift[k - 1] = kl_drift(ln_p_TV, before_TV);
    before_TV = ln_p_TV;
  }
  return out;
}

std::vector<DenseMatrix> to_matrices(const std::vector<Tensor>& states) {
  std::vector<DenseMatrix> out;
  for (const Tensor& x_TC : states) out.push_back(to_matrix(x_TC));
  return out;
}

WalkStep walk_step(const StepSpec& step) {
  WalkStep out;
  out.layer = step.place;
  for (const LoopPlace& place : step.path) out.iterations.push_back(place.iteration + 1);
  return out;
}

// A divergence, rounding aside; what is no number stays so.
double not_below_0(double kl) {
  return kl < 0 ? 0 : kl;
}

}  // namespace

double kl_drift(const Tensor& ln_p_after_TV, const Tensor& ln_p_before_TV) {
  return not_below_0(
      (ln_p_after_TV.exp() * (ln_p_after_TV - ln_p_before_TV)).sum(-1).mean().item<double>());
}

TextLoops loops_of_text(const LoopWalk& walk, const LoopTrack& track) {
  const at::NoGradGuard no_grad;
  TextLoops text;
  const int64_t width = track.after_RC.back().size(1);
  for (const std::vector<Tensor>& states : states_of(walk, track)) {
    GroupLoops group;
    group.states = to_matrices(states);
    // Where layers are of different widths the head reads the last one's.
    group.convergence = states.back().size(1) == width ? convergence_of(walk, states, group.states)
                                                       : fathom::convergence_of(group.states);
    text.groups.push_back(std::move(group));
  }
  std::vector<Tensor> all;
  const auto take = [&](const Tensor& x_TC) {
    const bool fits = x_TC.size(1) == width;
    if (fits) all.push_back(x_TC);
    return fits;
  };
  take(track.doors.front()->travel.carry.r_RC);
  for (size_t i = 0; i < track.after_RC.size(); ++i)
    if (take(track.after_RC[i]) && all.size() > 1)
      text.walk.push_back(walk_step(track.program.steps[i]));
  text.global = convergence_of(walk, all, to_matrices(all));
  return text;
}

LoopSpread spread_of(const LoopWalk& walk, const std::vector<int64_t>& tokens, int64_t count,
                     int64_t seeds) {
  if (seeds < 2) fail(fmt::format("a spread over {} draws is none", seeds), "take at least two");
  const at::NoGradGuard no_grad;
  const DepthProgram program = walk.program(count);
  std::vector<Tensor> states, answers;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const LoopTrack track = walk.run(program, tokens, static_cast<uint64_t>(seed));
    states.push_back(track.after_RC.back());
    answers.push_back(walk.ln_p(states.back()));
  }
  const Tensor x_STC = at::stack(states), ln_p_STV = at::stack(answers);
  const Tensor mean_TC = x_STC.mean(at::IntArrayRef{0});
  const Tensor away_T = (x_STC - mean_TC).square().sum(-1).mean(at::IntArrayRef{0}).sqrt();
  const auto S = static_cast<double>(seeds);
  const Tensor off_STV = ln_p_STV - ln_p_STV.mean(at::IntArrayRef{0});
  const Tensor ln_mean_TV = at::logsumexp(ln_p_STV, at::IntArrayRef{0}) - std::log(S);
  LoopSpread out;
  out.count = count;
  out.state = (away_T / mean_TC.norm(2, at::IntArrayRef{-1})).mean().item<double>();
  out.scores = std::sqrt(off_STV.square().mean().item<double>() * S / (S - 1));
  out.kl = not_below_0((ln_p_STV.exp() * (ln_p_STV - ln_mean_TV)).sum(-1).mean().item<double>());
  if (!std::isfinite(out.state)) out.state = kUnknown;
  return out;
}

}  // namespace fathom
