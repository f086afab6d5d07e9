#include "fathom/train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/train/recipe/parameter_groups.h"

namespace fathom {
namespace {

std::vector<Tensor> zeros_for(const std::vector<StateTensor>& about, const Tensor& parameter,
                              bool absent) {
  std::vector<Tensor> tensors;
  for (const StateTensor& t : about)
    tensors.push_back(t.is_number ? at::zeros({}, parameter.options())
                      : absent    ? at::zeros({}, parameter.options()).expand(parameter.sizes())
                                  : at::zeros_like(parameter));
  return tensors;
}

}  // namespace

Optimizer::Optimizer(const ParameterSet& parameters, const OptimizerConfig& config)
    : config_(config),
      rule_(&optimizer_rule(config.optimizer)),
      update_(update_rule(config.optimizer)) {
  for (const Parameter& p : parameters.all()) {
    parameters_.push_back(p.tensor);
    State state{p.spec.name, rule_->state(p.spec), {}, !p.tensor.requires_grad()};
    state.tensors = zeros_for(state.about, p.tensor, state.frozen);
    state_.push_back(std::move(state));
  }
  settle(parameters);
}

// The groups, by what the configuration says of them.
void Optimizer::settle(const ParameterSet& parameters) {
  std::vector<ParameterSpec> table;
  for (const Parameter& p : parameters.all()) table.push_back(p.spec);
  groups_.clear();
  for (const ParameterSetting& s : parameter_settings(config_, table))
    groups_.push_back({s.rate, s.weight_decay, s.frozen_until});
}

void Optimizer::configure(const ParameterSet& parameters, const OptimizerConfig& config) {
  const bool answered = let_answer(true);
  if (config.optimizer != rule_->name) {
    const int rank = rank_, size = size_;
    *this = Optimizer(parameters, config);
    if (size > 1) shard(rank, size);
    return;
  }
  config_ = config;
  settle(parameters);
  for (size_t i = 0; i < state_.size(); ++i) {
    State& s = state_[i];
    const bool frozen = !parameters_[i].requires_grad();
    if (frozen == s.frozen) continue;
    s.frozen = frozen;
    s.begun = steps_;
    s.tensors = zeros_for(s.about, parameters_[i], frozen || s.elsewhere);
  }
  let_answer(answered);
}

void Optimizer::shard(int rank, int size) {
  rank_ = rank;
  size_ = size;
  // The largest first, to whoever has least: as even as whole parameters can be.
  std::vector<size_t> order(parameters_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return parameters_[a].numel() > parameters_[b].numel();
  });
  std::vector<int64_t> kept(static_cast<size_t>(size));
  owners_.assign(parameters_.size(), 0);
  for (const size_t i : order) {
    const auto least = std::min_element(kept.begin(), kept.end());
    owners_[i] = static_cast<int>(least - kept.begin());
    *least += parameters_[i].numel();
  }
  for (size_t i = 0; i < state_.size(); ++i) {
    State& s = state_[i];
    s.elsewhere = owners_[i] != rank;
    if (s.elsewhere) s.tensors = zeros_for(s.about, parameters_[i], true);
  }
}

const Tensor& Optimizer::State::at(const std::string& tensor) const {
  for (size_t i = 0; i < about.size(); ++i)
    if (tensor == about[i].name) return tensors[i];
  fail(fmt::format("the optimiser keeps no {} of {}", in_quotes(tensor), name));
}

void Optimizer::reset() {
  let_answer(true);
  set_steps(0, {});
  answers_ = false;
  for (State& s : state_)
    if (!s.frozen && !s.elsewhere)
      for (Tensor& tensor : s.tensors) tensor.zero_();
}

std::map<std::string, int64_t> Optimizer::begun() const {
  std::map<std::string, int64_t> out;
  for (const State& s : state_) {
    const int64_t begun = s.frozen ? steps_ : s.begun;
    if (begun != 0) out[s.name] = begun;
  }
  return out;
}

void Optimizer::set_steps(int64_t steps, const std::map<std::string, int64_t>& begun) {
  steps_ = steps;
  for (State& s : state_) {
    const auto known = begun.find(s.name);
    s.begun = known == begun.end() ? 0 : std::min(known->second, steps);
  }
}

void Optimizer::begin_step(int64_t step) {
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (groups_[i].frozen_until > 0 && !state_[i].frozen)
      parameters_[i].set_requires_grad(step >= groups_[i].frozen_until);
}

void Optimizer::step(double learning_rate, double gradient_scale) {
  const at::NoGradGuard no_grad;
  ++steps_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    State& state = state_[i];
    const Tensor& w = parameters_[i];
    if (state.frozen) continue;
    if (!w.requires_grad()) {  // for now
      ++state.begun;
      continue;
    }
    if (state.elsewhere) continue;
    const int64_t n = steps_ - state.begun;
    if (n == 1)
      for (size_t t = 0; t < state.tensors.size(); ++t)
        if (state.about[t].begins == StateTensor::kWeights) state.tensors[t].copy_(w);
    if (!w.grad().defined()) continue;
    const Group& group = groups_[i];
    update_(config_,
            {w, gradient_scale, state.tensors, n, learning_rate * group.rate, group.weight_decay});
  }
}

bool Optimizer::let_answer(bool answers) {
  const at::NoGradGuard no_grad;
  const bool before = answers_;
  answers_ = answers;
  if (answers == before) return before;
  for (size_t i = 0; i < state_.size(); ++i) {
    if (!has_begun(state_[i])) continue;
    for (size_t t = 0; t < state_[i].tensors.size(); ++t) {
      if (!state_[i].about[t].swaps) continue;
      const Tensor kept = state_[i].tensors[t].clone();
      state_[i].tensors[t].copy_(parameters_[i]);
      parameters_[i].copy_(kept);
    }
  }
  return before;
}

}  // namespace fathom
