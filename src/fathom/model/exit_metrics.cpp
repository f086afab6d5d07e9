#include "fathom/model/exit_metrics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>

namespace fathom {
namespace {

// (readouts, R) -> (R): entry `which` of each row.
Tensor choose(const std::vector<Tensor>& x_R, const Tensor& which_R) {
  return at::stack(x_R).gather(0, which_R.unsqueeze(0)).squeeze(0);
}

// Whether the table is the last readout's cross entropy at every target, and nothing else.
bool is_answer_loss(const SupervisionTable& table, const std::vector<const StepRecord*>& readouts) {
  if (table.size() != 1 || readouts.back()->away_R.defined()) return false;
  const SupervisionTerm& t = table.front();
  if (!(t.value == wire::name("ce")) || t.judge != SupervisionTerm::kSelf ||
      t.per != SupervisionTerm::kTargets)
    return false;
  const auto weight = [&](const StepRecord* r) {
    return size_t(r->layer) < t.weights.size() ? t.weights[size_t(r->layer)] : 0;
  };
  return weight(readouts.back()) == 1 &&
         std::all_of(readouts.begin(), readouts.end() - 1,
                     [&](const StepRecord* r) { return weight(r) == 0; });
}

}  // namespace

LossPart answer_loss(const SupervisionTable& table, const Trace& trace, const Batch& batch,
                     const std::vector<LossPart>& losses) {
  const std::vector<const StepRecord*> readouts = trace.readouts();
  LossPart loss = {"loss", {}, 0};
  if (readouts.empty()) return loss;
  if (losses.size() == 1 && is_answer_loss(table, readouts)) return losses.front();
  const bool graph = at::GradMode::is_enabled();
  const at::NoGradGuard no_grad;
  const Tensor targets_R = trace.all->of(batch.targets_BT);
  Tensor weight_R = targets_R.ne(-1);
  if (batch.weight_BT.defined())
    weight_R = trace.all->of(batch.weight_BT).masked_fill(weight_R.logical_not(), 0);
  Tensor ln_p_R = readouts.back()->reading.ln_p_R.detach();
  if (readouts.back()->away_R.defined()) {
    std::vector<Tensor> all_R, away_R, nobody_R;
    for (const StepRecord* r : readouts) {
      all_R.push_back(r->reading.ln_p_R.detach());
      away_R.push_back(r->away_R);
      nobody_R.push_back(at::zeros_like(ln_p_R, at::TensorOptions(at::kBool)));
    }
    ln_p_R = choose(all_R, answering_readout(nobody_R, away_R));
  }
  // Without a target it may be anything.
  const Tensor x_R = -ln_p_R.masked_fill(targets_R.eq(-1), 0) * weight_R;
  const auto per_sequence = [&](const Tensor& t_R) {
    return t_R.to(at::kDouble).view({trace.all->batch(), trace.all->longest()}).sum(1);
  };
  loss.sum = x_R.sum();
  loss.count = weight_R.sum().item<double>();
  if (graph) return loss;
  loss.sum_B = per_sequence(x_R).to(at::kCPU);
  loss.count_B = per_sequence(weight_R).to(at::kCPU);
  return loss;
}

Tensor answering_readout(const std::vector<Tensor>& halts_R, const std::vector<Tensor>& away_R) {
  const auto last = static_cast<int64_t>(halts_R.size()) - 1;
  Tensor answer_R = at::full_like(halts_R.front(), last, at::TensorOptions(at::kLong));
  for (int64_t i = last; i > 0 && away_R[size_t(i)].defined(); --i)
    answer_R = answer_R.masked_fill(answer_R.eq(i).logical_and(away_R[size_t(i)]), i - 1);
  for (int64_t i = last - 1; i >= 0; --i)
    answer_R = answer_R.masked_fill(halts_R[static_cast<size_t>(i)], i);
  return answer_R;
}

namespace {

// Who halts at a readout by the largest probability, whatever the walk went by.
Tensor halts_by_largest(const HaltingConfig& config, const StepRecord& r, const Tensor& targets_R) {
  const Tensor halts_R = decide(config, static_cast<size_t>(r.layer), r.reading, targets_R,
                                r.rows->valid_R, /*gold=*/false)
                             .halts_R;
  return r.away_R.defined() ? halts_R.logical_and(r.away_R.logical_not()) : halts_R;
}

}  // namespace

Tensor predictions(const DepthProgram& program, const Trace& trace, const Batch& batch) {
  const HaltingConfig& config = program.policy.halting.config;
  const at::NoGradGuard no_grad;
  std::vector<Tensor> said_R, halts_R, away_R;
  for (const StepRecord* r : trace.readouts()) {
    said_R.push_back(r->reading.prediction_R);
    away_R.push_back(r->away_R);
    halts_R.push_back(config.rule == HaltRule::kNone
                          ? at::zeros_like(said_R.back(), at::TensorOptions(at::kBool))
                          : halts_by_largest(config, *r, trace.all->of(batch.targets_BT)));
  }
  return said_R.empty() ? Tensor() : choose(said_R, answering_readout(halts_R, away_R));
}

std::map<std::string, Metric> exit_metrics(const DepthProgram& program, const Trace& trace,
                                           const Batch& batch) {
  const HaltingConfig& config = program.policy.halting.config;
  const at::NoGradGuard no_grad;
  std::map<std::string, Metric> metrics;
  const std::vector<const StepRecord*> readouts = trace.readouts();
  if (readouts.empty()) return metrics;
  const Tensor targets_R = trace.all->of(batch.targets_BT), counts_R = targets_R.ne(-1);
  const double n = counts_R.sum().item<double>();
  // Mean over the rows with a target.
  const auto mean = [&](const Tensor& x_R) {
    return Metric{x_R.masked_fill(counts_R.logical_not(), 0).sum().item<double>(), n};
  };
  // The same, but for those that were away.
  const auto mean_at = [&](const StepRecord& r, const Tensor& x_R) {
    if (!r.away_R.defined()) return mean(x_R);
    const Tensor there_R = counts_R.logical_and(r.away_R.logical_not());
    return Metric{x_R.masked_fill(there_R.logical_not(), 0).sum().item<double>(),
                  there_R.sum().item<double>()};
  };
  std::vector<Tensor> loss_R, correct_R, used_R, max_R, away_R;
  for (const StepRecord* r : readouts) {
    away_R.push_back(r->away_R);
    loss_R.push_back(-r->reading.ln_p_R.detach());
    correct_R.push_back(r->reading.prediction_R.eq(targets_R));
    if (config.rule == HaltRule::kNone) continue;
    used_R.push_back(r->decision.halts_R);
    max_R.push_back(halts_by_largest(config, *r, targets_R));
  }
  // Where nobody halts.
  const auto answered = [&](const std::vector<Tensor>& x_R) {
    if (!away_R.back().defined()) return x_R.back();
    const std::vector<Tensor> nobody_R(x_R.size(), at::zeros_like(correct_R.back()));
    return choose(x_R, answering_readout(nobody_R, away_R));
  };
  const auto named = [&](const char* what, size_t i) {
    return fmt::format("{}/{}", what, program.steps[size_t(readouts[i]->step)].readout_name());
  };
  metrics["accuracy"] = mean(answered(correct_R));
  if (readouts.size() > 1) {
    for (size_t i = 0; i < readouts.size(); ++i) {
      metrics[named("layer_loss", i)] = mean_at(*readouts[i], loss_R[i]);
      metrics[named("layer_accuracy", i)] = mean_at(*readouts[i], correct_R[i]);
    }
  }
  if (config.rule == HaltRule::kNone) return metrics;

  metrics["infer"] = mean(choose(loss_R, answering_readout(used_R, away_R)));
  const Tensor answer_R = answering_readout(max_R, away_R);
  metrics["accuracy"] = mean(choose(correct_R, answer_R));
  std::vector<int64_t> depths;
  for (const StepRecord* r : readouts) depths.push_back(r->step + 1);
  metrics["exit_depth"] = mean(index_tensor(depths, answer_R.device()).index_select(0, answer_R));
  for (size_t i = 0; i < readouts.size(); ++i) {
    const Tensor here_R = answer_R.eq(static_cast<int64_t>(i));
    const auto add = [&](const char* name, const Tensor& x_R) {
      // Readouts of a layer that the plan names several times add up; they share the rows.
      Metric& metric = metrics[named(name, i)];
      metric = {metric.sum + mean(x_R).sum, n};
    };
    add("exit_rate", here_R);
    add("exit_correct", here_R.logical_and(correct_R[i]));
  }
  const Tensor at_last_R = answer_R.eq(static_cast<int64_t>(readouts.size()) - 1);
  metrics["exit_confident_last"] = mean(at_last_R.logical_and(max_R.back()));
  Tensor confident_R = max_R.front();
  for (const Tensor& halts_R : max_R) confident_R = confident_R.logical_or(halts_R);
  metrics["exit_fallback"] = mean(confident_R.logical_not());
  return metrics;
}

}  // namespace fathom
