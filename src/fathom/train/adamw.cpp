#include "fathom/train/adamw.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/ops/optimizer.h"
#include "fathom/train/recipe/decay.h"

namespace fathom {

AdamW::AdamW(const ParameterSet& parameters, const OptimizerConfig& config) : config_(config) {
  for (const Parameter& p : parameters.all()) {
    parameters_.push_back(p.tensor);
    decays_.push_back(decays(p.spec, config.decay_rule));
    const bool frozen = !p.tensor.requires_grad();
    const auto zeros = [&] {
      return frozen ? at::zeros({}, p.tensor.options()).expand(p.tensor.sizes())
                    : at::zeros_like(p.tensor);
    };
    state_.push_back({p.spec.name, zeros(), zeros(), frozen});
  }
}

void AdamW::configure(const ParameterSet& parameters, const OptimizerConfig& config) {
  config_ = config;
  size_t i = 0;
  for (const Parameter& p : parameters.all()) {
    if (p.tensor.requires_grad() == state_[i].frozen)
      misuse("the stages of a training plan freeze different parameters",
             "freeze, unfreeze and default_freeze hold for all of them");
    decays_[i++] = decays(p.spec, config.decay_rule);
  }
}

void AdamW::reset() {
  set_steps(0, {});
  for (State& s : state_)
    if (!s.frozen) s.m.zero_(), s.v.zero_();
}

std::map<std::string, int64_t> AdamW::begun() const {
  std::map<std::string, int64_t> out;
  for (const State& s : state_) {
    const int64_t begun = s.frozen ? steps_ : s.begun;
    if (begun != 0) out[s.name] = begun;
  }
  return out;
}

void AdamW::set_steps(int64_t steps, const std::map<std::string, int64_t>& begun) {
  steps_ = steps;
  for (State& s : state_) {
    const auto known = begun.find(s.name);
    s.begun = known == begun.end() ? 0 : std::min(known->second, steps);
  }
}

double AdamW::clip_gradients() {
  const at::NoGradGuard no_grad;
  double squares = 0;
  for (const Tensor& p : parameters_)
    if (p.grad().defined()) squares += squared_norm(p.grad());
  const double norm = std::sqrt(squares);
  // The 1e-6 is torch's clip_grad_norm_: it keeps the division safe and the numbers comparable.
  const double scale = config_.grad_clip / (norm + 1e-6);
  gradient_scale_ = config_.grad_clip > 0 && scale < 1 ? scale : 1;
  return norm;
}

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  ++steps_;
  AdamWStep s;
  s.gradient_scale = std::exchange(gradient_scale_, 1);
  s.beta1 = config_.beta1;
  s.beta2 = config_.beta2;
  s.eps = config_.adam_eps;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    const State& state = state_[i];
    const auto n = static_cast<double>(steps_ - state.begun);
    s.keep = decays_[i] ? 1 - learning_rate * config_.weight_decay : 1;
    s.step_size = learning_rate / (1 - std::pow(config_.beta1, n));
    s.root = std::sqrt(1 - std::pow(config_.beta2, n));
    adamw(s, parameters_[i], state.m, state.v);
  }
}

}  // namespace fathom
