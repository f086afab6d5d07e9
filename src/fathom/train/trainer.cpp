#include "fathom/train/trainer.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/model/device.h"
#include "fathom/train/plan/schedule.h"

namespace fathom {
namespace {

// Evaluation draws its own windows, the same ones every time, so that evaluations compare.
constexpr uint64_t kEvalSeedOffset = 0x5eed;

std::unique_ptr<BatchSource> training_source(const RunConfig& config, const Corpus& corpus) {
  const int64_t B = 1, T = config.model.backbone.block_size;
  // One sequence at a time: how an optimiser step is split into passes never moves the data.
  if (config.data.sampling == Sampling::kSequential)
    return std::make_unique<SequentialShards>(corpus, "train", B, T);
  return std::make_unique<RandomWindows>(corpus, "train", B, T,
                                         static_cast<uint64_t>(config.training.seed));
}

// The next `count` sequences as one batch.
TokenBatch take(const BatchSource& source, int64_t count, Cursor& cursor) {
  TokenBatch all;
  for (int64_t i = 0; i < count; ++i) {
    auto [one, after] = source.next(cursor);
    cursor = after;
    all.B += one.B;
    all.T = one.T;
    all.tokens.insert(all.tokens.end(), one.tokens.begin(), one.tokens.end());
    all.targets.insert(all.targets.end(), one.targets.begin(), one.targets.end());
  }
  return all;
}

}  // namespace

Trainer::Trainer(const RunConfig& config, Corpus corpus, int64_t vocab_size, std::string folder)
    : config_(config),
      corpus_(std::move(corpus)),
      folder_(std::move(folder)),
      device_(choose_device(config.training.device)) {
  if (config.training.dtype == Precision::kFloat16)
    misuse("dtype = float16 cannot be trained: its gradients need a loss scale",
           "use --dtype=bfloat16 or float32");
  model_ =
      make_model(config_.model, vocab_size, static_cast<uint64_t>(config_.training.seed), device_);
  optimizer_ = std::make_unique<AdamW>(model_->parameters(), config_.optimizer);
  source_ = training_source(config_, corpus_);
  state_.config = config_;
  state_.vocab_size = vocab_size;
  state_.cursor = source_->start();
  state_.corpus_fingerprint = corpus_.fingerprint();
  state_.best_metric = "val/" + model_->best_metric();
  state_.best_value = std::numeric_limits<double>::infinity();
  if (corpus_.tokenizer() != nullptr) state_.tokenizer = corpus_.tokenizer()->to_json();
}

double Trainer::accumulate_gradients(StepReport& report) {
  const int64_t sequences = config_.sequences_per_step(), micro = config_.micro_batch_size();
  std::vector<Batch> batches;
  std::map<std::string, double> counts;  // of the whole step, where known beforehand
  for (int64_t first = 0; first < sequences; first += micro) {
    const int64_t rows = std::min(micro, sequences - first);
    batches.push_back(to_batch(take(*source_, rows, state_.cursor), device_));
    for (const auto& [name, count] : model_->known_counts(batches.back())) counts[name] += count;
  }
  double objective = 0;
  std::map<std::string, Metric> metrics;
  int64_t first_sequence = 0;
  for (const Batch& batch : batches) {
    const RandomField field(static_cast<uint64_t>(config_.training.seed), state_.step,
                            first_sequence);
    first_sequence += batch.tokens_BT.size(0);
    Tensor loss;
    ModelOutput output;
    {
      const Autocast autocast(config_.training.dtype, device_);
      output = model_->forward(batch, {/*training=*/true, field});
      for (const LossPart& part : output.losses) {
        if (part.count == 0) continue;
        const auto known = counts.find(part.name);
        const double count = known != counts.end()
                                 ? known->second
                                 : part.count * static_cast<double>(batches.size());
        const Tensor term = part.sum / count;
        loss = loss.defined() ? loss + term : term;
      }
    }
    if (loss.defined()) {
      torch::autograd::backward({loss}, {});
      objective += loss.item<double>();
    }
    for (const auto& [name, metric] : output.metrics) metrics[name] += metric;
  }
  for (const auto& [name, metric] : metrics)
    if (metric.count > 0) report.metrics[name] = metric.sum / metric.count;
  return objective;
}

StepReport Trainer::train_step() {
  const auto begin = std::chrono::steady_clock::now();
  StepReport report;
  report.learning_rate = learning_rate_at(config_, state_.step);
  model_->parameters().zero_grad();
  report.loss = accumulate_gradients(report);
  report.gradient_norm = optimizer_->clip_gradients();
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm))
    fail(
        fmt::format("loss {} and gradient norm {} at step {} are not finite; the weights are those "
                    "before it",
                    report.loss, report.gradient_norm, state_.step),
        "a lower learning_rate or a longer warmup_iters usually helps");
  optimizer_->step(report.learning_rate);
  report.step = ++state_.step;
  report.tokens = config_.tokens_per_step();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

EvalReport Trainer::evaluate_now() {
  const TrainingConfig& t = config_.training;
  // The same windows however much is computed at once: the largest part that divides them.
  const int64_t sequences = t.eval_iters * config_.data.batch_size;
  int64_t B = std::min(config_.micro_batch_size(), sequences);
  while (sequences % B != 0) --B;
  const auto on = [&](const char* split) {
    const RandomWindows windows(corpus_, split, B, config_.model.backbone.block_size,
                                static_cast<uint64_t>(t.seed) + kEvalSeedOffset);
    return evaluate(*model_, windows, sequences / B, device_, t.dtype);
  };
  EvalReport report;
  report.step = state_.step;
  report.train = on("train");
  report.val = on("val");
  const double value = report.val.value(model_->best_metric());
  report.best = value < state_.best_value;
  if (report.best) state_.best_value = value;
  report.best_value = state_.best_value;
  return report;
}

void Trainer::save(const std::string& name) const {
  if (folder_.empty()) return;
  save_checkpoint(folder_ + "/checkpoints/" + name, state_, model_->parameters(), *optimizer_);
}

void Trainer::run(const TrainerEvents& events) {
  const TrainingConfig& t = config_.training;
  for (;;) {
    const bool last = state_.step >= t.max_iters || t.eval_only;
    if (last || state_.step % t.eval_interval == 0) {
      // Saved first: an evaluation that fails loses nothing.
      if (state_.step > 0 || last) save("last");
      const EvalReport report = evaluate_now();
      if (report.best && state_.step > 0) save("best");
      if (events.evaluation) events.evaluation(report);
    }
    if (last) return;
    const StepReport report = train_step();
    if (events.step) events.step(report);
  }
}

}  // namespace fathom
