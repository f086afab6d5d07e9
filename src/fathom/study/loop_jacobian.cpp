#include "fathom/study/loop_jacobian.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "fathom/base/error.h"
#include "fathom/study/loops/krylov.h"

namespace fathom {
namespace {

// Steps of an iteration, both included.
struct Iteration {
  size_t first = 0, last = 0;
};

bool is_in(const StepSpec& step, size_t group, int64_t iteration) {
  return std::any_of(step.path.begin(), step.path.end(), [&](const LoopPlace& p) {
    return static_cast<size_t>(p.group) == group && p.iteration == iteration;
  });
}

// The first of that number: a loop within another has several.
Iteration steps_of(const DepthProgram& program, size_t group, const std::string& name,
                   int64_t iteration) {
  const std::vector<StepSpec>& steps = program.steps;
  const auto in = [&](const StepSpec& step) { return is_in(step, group, iteration); };
  const auto first = std::find_if(steps.begin(), steps.end(), in);
  if (iteration < 1 || first == steps.end())
    fail(
        fmt::format("the loop of {} has no iteration {} that begins with a state", name, iteration),
        "iterations from 1 on have one; let the loops run once more");
  const auto end = std::find_if_not(first, steps.end(), in);
  return {static_cast<size_t>(first - steps.begin()), static_cast<size_t>(end - steps.begin()) - 1};
}

using StateMap = std::function<Tensor(const Tensor& x_C)>;

Tensor with_row(const Tensor& x_TC, int64_t t, const Tensor& row_C) {
  return at::cat(
      {x_TC.narrow(0, 0, t), row_C.unsqueeze(0), x_TC.narrow(0, t + 1, x_TC.size(0) - t - 1)});
}

StateMap whole_iteration(const LoopWalk& walk, const LoopTrack& track, const Iteration& of,
                         int64_t t, uint64_t seed) {
  return [&walk, &track, of, t, seed](const Tensor& x_C) {
    WalkState state = *track.doors[of.first];
    state.travel.carry.r_RC = with_row(state.travel.carry.r_RC, t, x_C);
    walk.advance(track.program, state, of.last + 1, seed);
    return state.travel.carry.r_RC.select(0, t);
  };
}

// The iteration's layers as a program of their own, over one row.
StateMap layers_alone(const LoopWalk& walk, const LoopTrack& track, const Iteration& of, int64_t t,
                      uint64_t seed) {
  DepthProgram program;
  program.policy = track.program.policy;
  for (size_t i = of.first; i <= of.last; ++i) {
    StepSpec step = track.program.steps[i];
    std::vector<Injection>& door = step.layer.door;
    door.erase(std::remove_if(door.begin(), door.end(),
                              [](const Injection& injection) {
                                return injection.kind == Injection::kOpenLoop ||
                                       injection.kind == Injection::kLoopInput ||
                                       injection.kind == Injection::kLoopSignal;
                              }),
               door.end());
    step.layer.readout.reset();
    step.readout = -1;
    step.path.clear();
    step.ends.clear();
    step.index = static_cast<int>(program.steps.size());
    program.steps.push_back(std::move(step));
  }
  const int64_t token = track.rows->token_R[t].item<int64_t>();
  const auto rows = std::make_shared<const Rows>(Rows(
      {{token}}, {track.rows->positions()[static_cast<size_t>(t)]}, track.rows->token_R.device()));
  return [&walk, program, rows, seed](const Tensor& x_C) {
    WalkState state;
    state.rows = rows;
    state.travel.carry.r_RC = x_C.unsqueeze(0);
    walk.advance(program, state, program.steps.size(), seed);
    return state.travel.carry.r_RC.select(0, 0);
  };
}

Tensor to_tensor(const std::vector<double>& values, const Tensor& like) {
  const Tensor out =
      at::empty({static_cast<int64_t>(values.size())}, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), out.data_ptr<double>());
  return out.to(like.device());
}

std::vector<double> to_vector(const Tensor& x_C) {
  const Tensor x = x_C.detach().to(at::kCPU).contiguous();
  return {x.data_ptr<double>(), x.data_ptr<double>() + x.numel()};
}

}  // namespace

LoopJacobian jacobian_of(const LoopWalk& walk, const LoopTrack& track, size_t group,
                         int64_t iteration, size_t token, const JacobianOptions& options) {
  const Iteration of = steps_of(track.program, group, walk.groups().at(group), iteration);
  const auto t = static_cast<int64_t>(token);
  if (t >= track.rows->count())
    fail(fmt::format("there is no token {} in a text of {}", token, track.rows->count()));
  const StateMap map = options.block_only ? layers_alone(walk, track, of, t, options.seed)
                                          : whole_iteration(walk, track, of, t, options.seed);
  const Tensor at_C = track.doors[of.first]->travel.carry.r_RC.select(0, t).detach().clone();
  Tensor x_C = at_C.clone();
  Tensor y_C;
  {
    const at::AutoGradMode graph(true);
    x_C.set_requires_grad(true);
    y_C = map(x_C);
  }
  if (y_C.size(0) != at_C.size(0))
    fail(fmt::format("the loop of {} begins with a width of {} and ends with {}",
                     walk.groups().at(group), at_C.size(0), y_C.size(0)),
         "the Jacobian's eigenvalues are of maps from a width to itself");
  const LinearMap transposed = [&](const std::vector<double>& v) {
    const auto grads = torch::autograd::grad({y_C}, {x_C}, {to_tensor(v, y_C)},
                                             /*retain_graph=*/true, /*create_graph=*/false,
                                             /*allow_unused=*/true);
    return grads[0].defined() ? to_vector(grads[0]) : std::vector<double>(v.size());
  };
  const double scale = at_C.norm().item<double>() / std::sqrt(static_cast<double>(at_C.size(0)));
  const double h = 1e-5 * std::max(scale, 1e-3) * std::sqrt(static_cast<double>(at_C.size(0)));
  const LinearMap forward = [&](const std::vector<double>& v) {
    const at::NoGradGuard no_grad;
    const Tensor step_C = h * to_tensor(v, at_C);
    return to_vector((map(at_C + step_C) - map(at_C - step_C)) / (2 * h));
  };
  const auto C = static_cast<size_t>(at_C.size(0)), steps = static_cast<size_t>(options.steps);
  LoopJacobian out;
  out.group = group;
  out.iteration = iteration;
  out.token = token;
  // Eigenvalues of a matrix and of its transpose are the same.
  out.spectral_radius = spectral_radius(transposed, C, steps);
  out.operator_norm = operator_norm(forward, transposed, C, steps);
  return out;
}

}  // namespace fathom
