#include "fathom/model/exit_metrics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// (readouts, R) -> (R): entry `which` of each row.
Tensor choose(const std::vector<Tensor>& x_R, const Tensor& which_R) {
  return at::stack(x_R).gather(0, which_R.unsqueeze(0)).squeeze(0);
}

// What was decided, be it that nothing followed.
const HaltDecision& made(const StepRecord& r) {
  return r.logged.halts_R.defined() ? r.logged : r.decision;
}

// Whether the table is the last readout's cross entropy at every target, and nothing else.
bool is_answer_loss(const SupervisionTable& table, const std::vector<const StepRecord*>& readouts) {
  using Term = SupervisionTerm;
  if (table.size() != 1 || readouts.back()->away_R.defined()) return false;
  const Term& t = table.front();
  if (t.signal != Term::kTarget || t.transform != Term::kNegLog || t.gate != Term::kEvery ||
      t.multiplier != Term::kOne || t.judge != Term::kSelf || t.denominator != Term::kTargets)
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

std::vector<Tensor> expected_shares(const std::vector<const StepRecord*>& readouts) {
  std::vector<Tensor> halt_R, nobody_R, away_R;
  for (const StepRecord* r : readouts) {
    const Tensor& score_R = made(*r).score_R;
    if (!score_R.defined()) fail("expected answers are of a rule that halts by a probability");
    halt_R.push_back(score_R.to(at::kDouble));
    for (const Tensor& out_R :
         {r->away_R, r->rows->valid_R.defined() ? r->rows->valid_R.logical_not() : Tensor()})
      if (out_R.defined()) halt_R.back() = halt_R.back().masked_fill(out_R, 0);
    nobody_R.push_back(at::zeros_like(score_R, at::TensorOptions(at::kBool)));
    away_R.push_back(r->away_R);
  }
  const Tensor last_R = answering_readout(nobody_R, away_R);
  std::vector<Tensor> shares_R;
  Tensor left_R = at::ones_like(halt_R.front());
  for (size_t i = 0; i < halt_R.size(); ++i) {
    const Tensor here_R = halt_R[i].masked_fill(last_R.eq(static_cast<int64_t>(i)), 1);
    shares_R.push_back(left_R * here_R);
    left_R = left_R - shares_R.back();
  }
  return shares_R;
}

namespace {

// Who halts at a readout as in generation: by the largest probability, where the rule is that or
// the walk went by the target's.
Tensor halts_as_generated(const HaltingConfig& config, const StepRecord& r,
                          const Tensor& targets_R) {
  const bool by_largest = config.rule == HaltRule::kMax || config.rule == HaltRule::kGold;
  const Tensor halts_R = by_largest ? decide(config, static_cast<size_t>(r.layer), r.reading,
                                             targets_R, r.rows->valid_R, /*gold=*/false)
                                          .halts_R
                                    : made(r).halts_R;
  return r.away_R.defined() ? halts_R.logical_and(r.away_R.logical_not()) : halts_R;
}

// What the largest sum of shares says.
Tensor likeliest_of(const std::vector<Tensor>& said_R, const std::vector<Tensor>& shares_R) {
  std::vector<Tensor> weight_R;
  for (const Tensor& said : said_R) {
    Tensor sum_R = at::zeros_like(shares_R.front());
    for (size_t i = 0; i < said_R.size(); ++i) sum_R = sum_R + shares_R[i] * said_R[i].eq(said);
    weight_R.push_back(sum_R);
  }
  return choose(said_R, at::stack(weight_R).argmax(0));
}

// The metrics of who answers where all layers do, by shares.
template <class Named, class Mean>
void add_expectations(const std::vector<const StepRecord*>& readouts, const Named& named,
                      const std::vector<Tensor>& loss_R, const std::vector<Tensor>& correct_R,
                      const Mean& mean, bool acts, std::map<std::string, Metric>& metrics) {
  const std::vector<Tensor> shares_R = expected_shares(readouts);
  Tensor infer_R, right_R, depth_R, nobody_R;
  const auto add = [](Tensor& sum_R, const Tensor& x_R) {
    sum_R = sum_R.defined() ? sum_R + x_R : x_R;
  };
  for (size_t i = 0; i < readouts.size(); ++i) {
    const Tensor& share_R = shares_R[i];
    const Tensor right_here_R = share_R * correct_R[i];
    // What a layer makes of a row that it does not answer may be infinite.
    add(infer_R, (share_R * loss_R[i]).masked_fill(share_R.eq(0), 0));
    add(right_R, right_here_R);
    add(depth_R, share_R * static_cast<double>(readouts[i]->step + 1));
    const auto put = [&](const char* name, const Tensor& x_R) {
      Metric& metric = metrics[named(name, i)];
      const Metric more = mean(x_R);
      metric = {metric.sum + more.sum, more.count};
    };
    put("exit_rate", share_R);
    put("exit_correct", right_here_R);
    Tensor goes_on_R = 1 - made(*readouts[i]).score_R.to(at::kDouble);
    if (readouts[i]->away_R.defined()) goes_on_R = goes_on_R.masked_fill(readouts[i]->away_R, 1);
    nobody_R = nobody_R.defined() ? nobody_R * goes_on_R : goes_on_R;
  }
  if (acts) {
    metrics["infer"] = mean(infer_R);
    metrics["accuracy"] = mean(right_R);
  }
  metrics["exit_depth"] = mean(depth_R);
  metrics["earlystop"] = mean(1 - shares_R.back());
  metrics["exit_confident_last"] = mean(shares_R.back() - nobody_R);
  metrics["exit_fallback"] = mean(nobody_R);
}

}  // namespace

Tensor predictions(const DepthProgram& program, const Trace& trace, const Batch& batch,
                   bool training) {
  const HaltingConfig& config = program.policy.halting.config;
  const at::NoGradGuard no_grad;
  std::vector<Tensor> said_R, halts_R, away_R;
  const std::vector<const StepRecord*> readouts = trace.readouts();
  for (const StepRecord* r : readouts) {
    said_R.push_back(r->reading.prediction_R);
    away_R.push_back(r->away_R);
    halts_R.push_back(!config.acts()
                          ? at::zeros_like(said_R.back(), at::TensorOptions(at::kBool))
                          : halts_as_generated(config, *r, trace.all->of(batch.targets_BT)));
  }
  if (!said_R.empty() && config.acts() && program.policy.halting.expects(training))
    return likeliest_of(said_R, expected_shares(readouts));
  return said_R.empty() ? Tensor() : choose(said_R, answering_readout(halts_R, away_R));
}

std::map<std::string, Metric> exit_metrics(const DepthProgram& program, const Trace& trace,
                                           const Batch& batch, bool training) {
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
    used_R.push_back(made(*r).halts_R);
    max_R.push_back(halts_as_generated(config, *r, targets_R));
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

  if (program.policy.halting.expects(training)) {
    add_expectations(readouts, named, loss_R, correct_R, mean, config.acts(), metrics);
    return metrics;
  }
  if (config.acts()) metrics["infer"] = mean(choose(loss_R, answering_readout(used_R, away_R)));
  const Tensor answer_R = answering_readout(max_R, away_R);
  if (config.acts()) metrics["accuracy"] = mean(choose(correct_R, answer_R));
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
  metrics["earlystop"] = mean(at_last_R.logical_not());
  metrics["exit_confident_last"] = mean(at_last_R.logical_and(max_R.back()));
  Tensor confident_R = max_R.front();
  for (const Tensor& halts_R : max_R) confident_R = confident_R.logical_or(halts_R);
  metrics["exit_fallback"] = mean(confident_R.logical_not());
  return metrics;
}

}  // namespace fathom
