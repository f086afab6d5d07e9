#include "experiments/dag/dag_model.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>

#include "experiments/dag/logger.h"
#include "experiments/dag/losses.h"
#include "experiments/dag/metrics.h"
#include "experiments/dag/recorded.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/model/depth_model.h"
#include "fathom/model/gate_loss.h"

namespace fathom::dag {
namespace {

// A tensor of each row's reading, at the readout that answers it where nobody halts.
Tensor answered(const std::vector<const StepRecord*>& readouts, Tensor Reading::*of) {
  if (!readouts.back()->away_R.defined()) return (readouts.back()->reading.*of).detach();
  std::vector<Tensor> all_R, away_R, nobody_R;
  for (const StepRecord* r : readouts) {
    all_R.push_back((r->reading.*of).detach());
    away_R.push_back(r->away_R);
    nobody_R.push_back(at::zeros_like(all_R.back(), at::TensorOptions(at::kBool)));
  }
  const Tensor which_R = answering_readout(nobody_R, away_R);
  return at::stack(all_R).gather(0, which_R.unsqueeze(0)).squeeze(0);
}

// Of the targets that are part of a result.
void add_result_metrics(const WalkedBatch& walked, std::map<std::string, Metric>& metrics) {
  const Batch& batch = walked.batch;
  const std::vector<const StepRecord*> readouts = walked.trace.readouts();
  const auto result = batch.labels.find(kResult);
  if (result == batch.labels.end() || !batch.targets_BT.defined() || readouts.empty()) return;
  const at::NoGradGuard no_grad;
  const Tensor target_R = walked.trace.all->of(batch.targets_BT);
  const Tensor asked_R = walked.trace.all->of(result->second).ne(0).logical_and(target_R.ne(-1));
  const double n = asked_R.sum().item<double>();
  const auto mean = [&](const Tensor& x_R) {
    return Metric{x_R.masked_fill(asked_R.logical_not(), 0).sum().item<double>(), n};
  };
  metrics["result_loss"] = mean(-answered(readouts, &Reading::ln_p_R));
  metrics["result_accuracy"] = mean(answered(readouts, &Reading::prediction_R).eq(target_R));
}

LossPart weighted(double weight, LossPart part) {
  part.sum = weight * part.sum;
  if (part.sum_B.defined()) part.sum_B = weight * part.sum_B;
  if (part.of_means)
    part.of_means = [weight, of_means = std::move(part.of_means)](const std::vector<Tensor>& at) {
      const Tensor value = of_means(at);
      return value.defined() ? weight * value : value;
    };
  return part;
}

// The next token's parts, times `weight`.
void weigh(double weight, std::vector<LossPart>& parts) {
  if (weight == 1) return;
  const auto is_of_it = [](const LossPart& p) { return p.name != kGateLoss && p.sum.defined(); };
  if (weight == 0) parts.erase(std::remove_if(parts.begin(), parts.end(), is_of_it), parts.end());
  for (LossPart& part : parts)
    if (is_of_it(part)) part = weighted(weight, std::move(part));
}

class DagModel : public DepthModel {
 public:
  DagModel(ModelParts parts, DagSettings settings, bool predictor)
      : DepthModel(std::move(parts)), settings_(std::move(settings)), predictor_(predictor) {}

 protected:
  std::vector<std::string> watch() const override { return recorded_names(settings_, predictor_); }

  void add_losses(const WalkedBatch& walked, const Pass& pass, ModelOutput& output) const override {
    const DagSettings now = settings_of(walked.program.policy.own);
    if (!predictor_) {
      add_result_metrics(walked, output.metrics);
      weigh(now.lm_loss_weight, output.losses);
    }
    if (settings_.depth == 0) return;
    const Recorded seen =
        recorded(walked.kept, static_cast<int>(walked.program.depth()), now, predictor_);
    add_structure(walked.batch, seen, now, pass, output);
    output.metrics.merge(forward_log(seen, walked.trace.all->valid_R,
                                     walked.batch.tokens_BT.size(0), now, pass.training));
    if (at::GradMode::is_enabled()) output.after_backward = gradient_log(seen, now);
  }

  // Of parts whose weight is 0, too, which are then never asked for. Programs that do not fit are
  // add_structure()'s to refuse.
  void add_counts(const Batch& batch, std::map<std::string, double>& counts) const override {
    if (!settings_.has_labels()) return;
    const AskedPrograms asked = asked_of(batch, settings_.targets);
    if (asked.count() > 0 && fits(batch, settings_))
      counts.merge(structure_counts(targets_of(batch, asked, settings_)));
  }

 private:
  LossWeights weights_of(const DagSettings& now) const {
    const double all = predictor_ ? 1 : now.plan_loss_weight;
    return {all * now.sign_loss_weight, all * now.log_loss_weight, all * now.op_loss_weight};
  }

  void add_structure(const Batch& batch, const Recorded& seen, const DagSettings& now,
                     const Pass& pass, ModelOutput& output) const {
    if (predictor_) output.loss = {"loss", {}, 0};  // the objective is it
    if (!settings_.has_labels()) return;
    const LossWeights weights = weights_of(now);
    const AskedPrograms asked = asked_of(batch, settings_.targets);
    if (asked.count() == 0 || !weights.any()) return;
    const ProgramTargets targets = targets_of(batch, asked, now);
    const SaidPrograms said = said_of(seen, asked, batch, now);
    for (LossPart& part : structure_losses(said, targets, asked, batch.tokens_BT.size(0), weights))
      output.losses.push_back(std::move(part));
    output.metrics.merge(program_metrics(said, targets, asked, now, /*details=*/!pass.training));
  }

  DagSettings settings_;
  bool predictor_;
};

}  // namespace

std::unique_ptr<Model> make_dag_model(ModelParts parts, const DagSettings& settings,
                                      bool predictor) {
  return std::make_unique<DagModel>(std::move(parts), settings, predictor);
}

}  // namespace fathom::dag
