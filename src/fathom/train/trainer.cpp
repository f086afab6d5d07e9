#include "fathom/train/trainer.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/in_batches.h"
#include "fathom/model/device.h"
#include "fathom/train/gradients.h"
#include "fathom/train/guards.h"
#include "fathom/train/loss_parts.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/together.h"
#include "fathom/train/trainer_sums.h"

namespace fathom {
namespace {

std::unique_ptr<Model> model_for(const RunConfig& config, int64_t vocab_size) {
  return make_model(config.model, vocab_size, static_cast<uint64_t>(config.training.seed),
                    choose_device(config.training.device));
}

// What was known beforehand is what the passes had, or the step would be divided by a wrong number.
void require_counts(const std::map<std::string, double>& known,
                    const std::map<std::string, double>& had) {
  for (const auto& [name, count] : had) {
    const auto before = known.find(name);
    if (before == known.end() || std::abs(before->second - count) <= 1e-6 * std::abs(count))
      continue;
    fail(fmt::format("the model counted {} of its loss {} before the step, and {} in its passes",
                     before->second, in_quotes(name), count),
         "Model::known_counts is of what forward makes of the same batch in the same pass");
  }
}

// Where a token table has rows for shift tokens as well, a configuration says which of them are
// text's: data and checkpoints have it from there.
RunPlan with_text_vocab(RunPlan plan, int64_t vocab_size) {
  for (StageRun& stage : plan.stages) {
    ModelConfig& model = stage.config.model;
    if (model.ahead.predict_ahead) model.backbone.vocab_size = model.ahead.text_vocab(vocab_size);
  }
  return plan;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool stopped(const TrainerEvents& events) {
  return events.stop && events.stop();
}

}  // namespace

Trainer::Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder)
    : Trainer(one_stage(config, std::move(corpus)), vocab_size, std::move(folder)) {}

Trainer::Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder,
                 std::unique_ptr<Model> model)
    : Trainer(one_stage(config, std::move(corpus)), vocab_size, std::move(folder),
              std::move(model)) {}

Trainer::Trainer(RunPlan plan, int64_t vocab_size, std::string folder)
    : Trainer(plan, vocab_size, std::move(folder),
              model_for(plan.stages.at(0).config, vocab_size)) {}

Trainer::Trainer(RunPlan plan, int64_t vocab_size, std::string folder, std::unique_ptr<Model> model)
    : plan_(with_text_vocab(std::move(plan), vocab_size)),
      config_(plan_.stages.at(0).config),
      folder_(std::move(folder)),
      device_(choose_device(config_.training.device)),
      model_(std::move(model)) {
  if (config_.training.dtype == Precision::kFloat16)
    misuse("dtype = float16 cannot be trained: its gradients need a loss scale",
           "use --dtype=bfloat16 or float32");
  for (const StageRun& stage : plan_.stages)
    is_timed_ = is_timed_ || stage.budget.unit == Budget::Unit::kMinutes;
  state_.vocab_size = vocab_size;
  state_.plan = plan_.written;
  state_.best_value = std::numeric_limits<double>::infinity();
  state_.losses = state_.gradient_norms = OutlierWindow(config_.guards.spike_window);
  if (const Tokenizer* tokenizer = stage().corpora.at(0).tokenizer())
    state_.tokenizer = std::make_shared<const nlohmann::json>(tokenizer->to_json());
  enter_stage(0);
}

// Checkpoints that were written meanwhile get their places after the event, which makes room.
void Trainer::begin(const TrainerEvents& events) {
  if (begun_) return;
  if (events.begin) events.begin();
  begun_ = true;
  if (waiting_.empty()) return;
  for (const auto& [name, checkpoint] : waiting_)
    if (checkpoint != nullptr) checkpoint->commit();
  waiting_.clear();
  saved_step_ = waiting_step_;
  prune();
}

// Sequence `first_sequence` of the step is the batch's first: its random numbers are its own.
Pass Trainer::pass(int64_t first_sequence) const {
  const RandomField field(static_cast<uint64_t>(config_.training.seed), state_.step,
                          first_sequence);
  Pass pass;
  pass.training = true;
  pass.random = field;
  pass.recompute_blocks = config_.training.recompute_blocks;
  if (policy_) pass.policy = &*policy_;
  return pass;
}

ModelOutput Trainer::forward(const Batch& batch, int64_t first_sequence) const {
  const Autocast autocast(config_.training.dtype, device_);
  return model_->forward(batch, pass(first_sequence));
}

// Those of the whole step's losses that are known before its passes.
std::map<std::string, double> Trainer::known_counts(const StepData& data) const {
  const at::NoGradGuard no_grad;
  const Autocast autocast(config_.training.dtype, device_);
  std::map<std::string, double> known;
  for (size_t i = 0; i < data.batches.size(); ++i)
    for (const auto& [name, count] : model_->known_counts(data.batches[i], pass(data.firsts[i])))
      known[name] += count;
  return ranks_->sum(known);
}

// Adds what only a forward pass tells of the whole step's losses. False: stopped.
bool Trainer::count_targets(const StepData& data, const TrainerEvents& events,
                            StepSums& step) const {
  const at::NoGradGuard no_grad;
  StepSums found;
  for (size_t i = 0; i < data.batches.size(); ++i) {
    if (ranks_->is_alone() && stopped(events)) return false;
    const ModelOutput output = forward(data.batches[i], data.firsts[i]);
    for (const LossPart& part : output.losses) found.add(part);
  }
  sum_over(*ranks_, found);
  step.merge(found);  // those that were known beforehand stay
  return true;
}

// False: stopped. Leaves early at a loss that is not finite.
bool Trainer::accumulate(const StepData& data, const TrainerEvents& events, Accumulated& sums) {
  const bool is_alone = ranks_->is_alone();
  // Once a step: all ranks make the rest of it, or none does.
  if (!is_alone && ranks_->any(stopped(events))) return false;
  sums.known = known_counts(data);
  StepSums step;  // of all of it
  step.counts = sums.known;
  const auto step_sequences = static_cast<double>(config_.sequences_per_step());
  const size_t passes = data.batches.size() * static_cast<size_t>(ranks_->size());
  // Not where memory is what counts.
  std::optional<KeptWeights::Use> use;
  if (!config_.training.recompute_blocks) use.emplace(kept_weights_);
  const bool by_pass = config_.training.loss_norm == LossNorm::kMinibatch;
  sums.optimises_its_loss = !by_pass;  // which does not depend on how a step is split
  for (size_t i = 0; i < data.batches.size(); ++i) {
    if (is_alone && stopped(events)) return false;
    const ModelOutput output = forward(data.batches[i], data.firsts[i]);
    if (i == 0 && !is_alone && !by_pass) count_together(output, data, events, step);
    const auto sequences = static_cast<double>(data.batches[i].tokens_BT.size(0));
    Tensor loss;
    for (const LossPart& part : output.losses) {
      sums.had[part.name] += part.count;
      if (part.count == 0 && (by_pass || !part.of_means)) continue;
      if (!by_pass && !step.has(part)) {
        if (!is_alone)
          fail(
              fmt::format("the loss {} is of some passes of a step alone", in_quotes(part.name)),
              "a model has the same losses in each pass, with a count of 0 where there is nothing");
        if (data.batches.size() == 1)
          step.add(part);
        else if (!count_targets(data, events, step))
          return false;
      }
      if (!by_pass && step.is_of_nothing(part)) continue;
      const Tensor term = by_pass ? part.sum * (sequences / step_sequences / part.count)
                                  : term_of_pass(part, step, passes);
      loss = loss.defined() ? loss + term : term;
      sums.parts[part.name] += term.item<double>();
    }
    ++sums.passes;
    sums.flops += output.flops;
    if (loss.defined()) {
      sums.objective += loss.item<double>();
      if (!std::isfinite(sums.objective)) break;
      // Gradients of blocks that are computed again come in parts.
      if (gradients_ != nullptr && i + 1 == data.batches.size() &&
          !config_.training.recompute_blocks)
        gradients_->begin();
      torch::autograd::backward({loss}, {});
      if (output.after_backward)
        for (const auto& [name, metric] : output.after_backward()) sums.metrics[name] += metric;
    }
    sums.optimises_its_loss = sums.optimises_its_loss && output.optimises_its_loss();
    if (output.loss.sum.defined())
      sums.answer += {output.loss.sum.item<double>(), output.loss.count};
    for (const auto& [name, metric] : output.metrics) sums.metrics[name] += metric;
  }
  if (!is_alone) add_up(sums);
  if (std::isfinite(sums.objective)) require_counts(sums.known, sums.had);
  return true;
}

void Trainer::show_sample(const TrainerEvents& events, bool ends) {
  if (state_.step == sampled_step_) return;
  if (!events.wants_sample || !events.wants_sample(state_.step, ends)) return;
  sampled_step_ = state_.step;
  if (events.sample) {
    const Answering answering(*optimizer_);
    events.sample(state_.step);
  }
  ranks_->await_first();  // who writes texts for as long as it takes
}

std::optional<StepReport> Trainer::train_step(const TrainerEvents& events) {
  const auto start = std::chrono::steady_clock::now();
  show_sample(events, /*ends=*/false);
  StepReport report;
  report.step = state_.step;
  report.updated = false;
  report.learning_rate = learning_rate();
  report.stage = state_.stage;
  const StepData data = draw_step();
  model_->parameters().zero_grad();
  optimizer_->begin_step(stage_step());
  Accumulated sums;
  if (!accumulate(data, events, sums)) return std::nullopt;
  report.flops = sums.flops;
  if (std::isfinite(sums.objective))
    sums.gradient_norm = ranks_->broadcast(gradient_norm(model_->parameters()));
  if (const auto trouble = find_trouble(*model_, sums.objective, sums.gradient_norm, sums.passes)) {
    handle(*trouble, data, events);
    report.step = state_.step;
    return report;
  }
  if (config_.guards.check_grads && !grads_checked_) check_every_gradient(*model_);
  grads_checked_ = true;
  if (is_spike(sums.objective, sums.gradient_norm)) {
    skip_step(fmt::format("step {}: {} {:.4f} and gradient norm {:.4f} are a spike",
                          state_.step + 1, sums.optimises_its_loss ? "loss" : "objective",
                          sums.objective, sums.gradient_norm),
              data, events);
    report.step = state_.step;
    return report;
  }
  between_states_ = true;
  const double scale = clip_scale(sums.gradient_norm, config_.optimizer.grad_clip);
  optimizer_->step(report.learning_rate, scale);
  if (is_sharded()) send_weights(*ranks_, *optimizer_);
  report.clipped = scale < 1;
  report.metrics = spectral_.after_update(optimizer_->steps(),
                                          log_due(config_.training.log_interval, state_.step + 1));
  state_.optimizer_steps = optimizer_->steps();
  state_.losses.add(sums.objective);
  state_.gradient_norms.add(sums.gradient_norm);
  skipped_in_a_row_ = 0;
  suspect_ = false;
  count_step(data);
  state_.progress.flops += sums.flops;
  if (is_timed_) state_.progress.seconds += ranks_->broadcast(seconds_since(start));
  report.step = state_.step;
  between_states_ = false;
  begin(events);
  report.updated = true;
  report.loss = sums.objective;
  if (!sums.optimises_its_loss) {
    report.objective = sums.objective;
    if (sums.answer.count > 0) report.loss = sums.answer.sum / sums.answer.count;
  }
  report.gradient_norm = sums.gradient_norm;
  report.tokens = data.tokens;
  report.parts = std::move(sums.parts);
  for (const auto& [name, metric] : sums.metrics)
    if (metric.count > 0) report.metrics[name] = metric.sum / metric.count;
  report.seconds = seconds_since(start);
  if (events.step) events.step(report);
  return report;
}

RunEnd Trainer::run(const TrainerEvents& events) {
  try {
    return train(events);
  } catch (...) {
    if (!config_.training.eval_only) save_what_is_left();
    throw;
  }
}

RunEnd Trainer::train(const TrainerEvents& events) {
  agree();
  if (goes_on_unchanged_) begin(events);
  for (;;) {
    const TrainingConfig& t = config_.training;
    const bool ends = stage_done() >= 1;
    const bool last = (ends && stage_ + 1 == plan_.stages.size()) || t.eval_only;
    const bool evaluates = last || ends || is_evaluation_due();
    const bool due = last || ends ||
                     save_due(config_, stage_step(), since(state_.stage_start, state_.progress)) ||
                     numbered_due(config_, state_.step);
    // Saved first: an evaluation that fails loses nothing. The very first one shows that there is
    // room for it.
    const bool saves = state_.step == 0 || (!t.eval_only && (due || !begun_));
    if (saves && !save_last(events)) continue;
    if ((evaluates && !evaluate_and_save(events, last)) ||
        (!last && !ends && !train_step(events))) {
      if (resumed_from_.empty()) begin(events);  // what a new run has is worth keeping
      if (!config_.training.eval_only && begun_) save_last(events);
      return RunEnd::kInterrupted;
    }
    if (last) {
      if (!t.eval_only && state_.step > 0) show_sample(events, /*ends=*/true);
      return RunEnd::kDone;
    }
    if (ends) next_stage(events);
  }
}

// False: stopped.
bool Trainer::evaluate_and_save(const TrainerEvents& events, bool last) {
  const EvalReport report = evaluate_now(events);
  if (!report.complete) return false;
  if (last) begin(events);  // there is no step to wait for
  if (!config_.training.eval_only && !suspect_) {
    if (report.best && state_.step > 0) save("best");
    if (last) save("last");  // that the last evaluation was made is part of a complete run
  }
  if (events.evaluation) events.evaluation(report);
  return true;
}

}  // namespace fathom
