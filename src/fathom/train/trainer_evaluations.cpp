// What the trainer evaluates, and which checkpoint is the best one by it.
#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/in_batches.h"
#include "fathom/model/spec/policy.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/shift_losses.h"
#include "fathom/train/trainer.h"

namespace fathom {

const Evaluation& EvalReport::of(const std::string& name) const {
  std::vector<std::string> names;
  for (const NamedEvaluation& e : evaluations) {
    if (e.name == name) return e.evaluation;
    names.push_back(e.name);
  }
  fail("there is no evaluation " + in_quotes(name), "there are " + join(names, ", "));
}

// False: stopped.
bool Trainer::evaluate_one(const EvaluationSpec& spec, const TrainerEvents& events,
                           EvalReport& report) const {
  const TrainingConfig& t = config_.training;
  const int64_t asked = spec.batches.value_or(t.eval_iters) *
                        t.validation_batch_size.value_or(config_.data.batch_size);
  const int64_t sequences = evaluation_draws(stage(), spec.split, asked);
  // The same windows however much is computed at once: the largest part that divides them.
  int64_t B = std::min(config_.micro_batch_size(), sequences);
  while (sequences % B != 0) --B;
  StageRun shown = stage();
  shown.config.model = with_settings(spec, config_.model);
  const InBatches batches(evaluation_data(shown, spec.split), B);
  EvaluateOptions options;
  options.stop = events.stop;
  if (events.evaluating)
    options.progress = [&](int64_t done) { events.evaluating(spec.name, done, sequences / B); };
  options.ranks = ranks_.get();
  options.tokenizer = stage().corpora.at(0).tokenizer();
  std::optional<Policy> policy;
  if (!spec.settings.empty() || policy_) policy = make_policy(shown.config.model);
  if (policy) options.policy = &*policy;
  Evaluation e = evaluate(*model_, batches, sequences / B, device_, t.dtype, options);
  AheadConfig& ahead = shown.config.model.ahead;
  // Of evaluations under other settings the loss alone: each shift is an evaluation of its own.
  if (e.complete && ahead.predict_ahead && ahead.shift_losses && spec.split == "val" &&
      spec.settings.empty()) {
    const AheadConfig own = ahead;
    const auto at_shift = [&](int64_t shift) {
      ahead.shift = shift;
      return std::make_shared<InBatches>(evaluation_data(shown, spec.split), B);
    };
    e.complete =
        add_shift_losses(*model_, own, at_shift, sequences / B, device_, t.dtype, options, e);
  }
  report.evaluations.push_back({spec.name, std::move(e)});
  return report.evaluations.back().evaluation.complete;
}

EvalReport Trainer::evaluate_now(const TrainerEvents& events) {
  const Answering answering(*optimizer_);
  EvalReport report;
  report.step = state_.step;
  const std::vector<EvaluationSpec> specs =
      parse_evaluations(config_.training.evaluations, config_.model);
  for (const EvaluationSpec& spec : specs) {
    report.complete = evaluate_one(spec, events, report);
    if (!report.complete) return report;
  }
  const double value = deciding_value(report.evaluations[deciding_evaluation(specs)]);
  report.best = value < state_.best_value;
  if (report.best) state_.best_value = value;
  report.best_value = state_.best_value;
  report.best_metric = state_.best_metric;
  state_.evaluated_step = state_.step;
  return report;
}

// The number that decides which evaluation is the best one.
double Trainer::deciding_value(const NamedEvaluation& decider) {
  const Evaluation& e = decider.evaluation;
  if (state_.best_metric != eval_series(decider.name, "objective"))
    return e.value(model_->best_metric());
  if (e.objective) return *e.objective;
  state_.best_metric = eval_series(decider.name, "loss");  // which has the same numbers then
  return e.loss;
}

// The series of the number by which the present stage finds its best checkpoint.
std::string Trainer::best_series() const {
  const std::vector<EvaluationSpec> specs =
      parse_evaluations(config_.training.evaluations, config_.model);
  return eval_series(specs[deciding_evaluation(specs)].name,
                     objective_decides(config_.model) ? "objective" : model_->best_metric());
}

}  // namespace fathom
