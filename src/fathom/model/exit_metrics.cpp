#include "fathom/model/exit_metrics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <fmt/format.h>

namespace fathom {
namespace {

// (readouts, R) -> (R): entry `which` of each row.
Tensor choose(const std::vector<Tensor>& x_R, const Tensor& which_R) {
  return at::stack(x_R).gather(0, which_R.unsqueeze(0)).squeeze(0);
}

}  // namespace

Tensor answering_readout(const std::vector<Tensor>& halts_R) {
  const auto last = static_cast<int64_t>(halts_R.size()) - 1;
  Tensor answer_R = at::full_like(halts_R.front(), last, at::TensorOptions(at::kLong));
  for (int64_t i = last - 1; i >= 0; --i)
    answer_R = answer_R.masked_fill(halts_R[static_cast<size_t>(i)], i);
  return answer_R;
}

std::map<std::string, Metric> exit_metrics(const HaltingConfig& config, const Trace& trace,
                                           const Batch& batch) {
  const at::NoGradGuard no_grad;
  std::map<std::string, Metric> metrics;
  const std::vector<const StepRecord*> readouts = trace.readouts();
  const Tensor targets_R = trace.all->of(batch.targets_BT), counts_R = targets_R.ne(-1);
  const double n = counts_R.sum().item<double>();
  // Mean over the rows with a target.
  const auto mean = [&](const Tensor& x_R) {
    return Metric{x_R.masked_fill(counts_R.logical_not(), 0).sum().item<double>(), n};
  };
  std::vector<Tensor> loss_R, correct_R, used_R, max_R;
  for (const StepRecord* r : readouts) {
    loss_R.push_back(-r->reading.ln_p_R.detach());
    correct_R.push_back(r->reading.prediction_R.eq(targets_R));
    if (config.rule == HaltRule::kNone) continue;
    used_R.push_back(r->decision.halts_R);
    max_R.push_back(decide(config, static_cast<size_t>(r->layer), r->reading, targets_R,
                           r->rows->valid_R, /*gold=*/false)
                        .halts_R);
  }
  metrics["loss_final"] = mean(loss_R.back());
  metrics["accuracy"] = mean(correct_R.back());
  if (readouts.size() > 1) {
    for (size_t i = 0; i < readouts.size(); ++i) {
      metrics[fmt::format("layer_loss/{}", readouts[i]->layer)] = mean(loss_R[i]);
      metrics[fmt::format("layer_accuracy/{}", readouts[i]->layer)] = mean(correct_R[i]);
    }
  }
  if (config.rule == HaltRule::kNone) return metrics;

  metrics["infer"] = mean(choose(loss_R, answering_readout(used_R)));
  const Tensor answer_R = answering_readout(max_R);
  metrics["accuracy"] = mean(choose(correct_R, answer_R));
  metrics["exit_depth"] = mean(answer_R + 1);
  for (size_t i = 0; i < readouts.size(); ++i) {
    const Tensor here_R = answer_R.eq(static_cast<int64_t>(i));
    const auto add = [&](const char* name, const Tensor& x_R) {
      // Readouts of a layer that runs several times add up; they share the rows.
      Metric& metric = metrics[fmt::format("{}/{}", name, readouts[i]->layer)];
      metric = {metric.sum + mean(x_R).sum, n};
    };
    add("exit_rate", here_R);
    add("exit_correct", here_R.logical_and(correct_R[i]));
  }
  const Tensor at_last_R = answer_R.eq(static_cast<int64_t>(readouts.size()) - 1);
  metrics["exit_confident_last"] = mean(at_last_R.logical_and(max_R.back()));
  metrics["exit_fallback"] = mean(at_last_R.logical_and(max_R.back().logical_not()));
  return metrics;
}

}  // namespace fathom
