#include "fathom/train/adamw.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "fathom/train/plan/decay.h"

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
    if (p.grad().defined()) squares += std::pow(p.grad().norm().item<double>(), 2);
  const double norm = std::sqrt(squares);
  // The 1e-6 is torch's clip_grad_norm_: it keeps the division safe and the numbers comparable.
  const double scale = config_.grad_clip / (norm + 1e-6);
  if (config_.grad_clip > 0 && scale < 1)
    for (Tensor& p : parameters_)
      if (p.grad().defined()) p.mutable_grad().mul_(scale);
  return norm;
}

void AdamW::step(double learning_rate) {
  const at::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Tensor& w = parameters_[i];
    const Tensor& g = w.grad();
    if (!g.defined()) continue;
    auto& [name, m, v, frozen, begun] = state_[i];
    const auto n = static_cast<double>(steps_ - begun);
    const double m_correction = 1 - std::pow(config_.beta1, n);
    const double v_correction = 1 - std::pow(config_.beta2, n);
    if (decays_[i]) w.mul_(1 - learning_rate * config_.weight_decay);
    m.mul_(config_.beta1).add_(g, 1 - config_.beta1);
    v.mul_(config_.beta2).addcmul_(g, g, 1 - config_.beta2);
    const Tensor root = (v.sqrt() / std::sqrt(v_correction)).add_(config_.adam_eps);
    w.addcdiv_(m, root, -learning_rate / m_correction);
  }
}

}  // namespace fathom
