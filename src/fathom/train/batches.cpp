#include "fathom/train/batches.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

template <class Element>
Tensor to_tensor(const std::vector<Element>& values, int64_t B, int64_t T, at::Device device) {
  const Tensor tensor = at::empty({B, T}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), tensor.data_ptr<int64_t>());
  return tensor.to(device);
}

}  // namespace

Batch to_batch(const TokenBatch& tokens, at::Device device) {
  Batch batch;
  batch.tokens_BT = to_tensor(tokens.tokens, tokens.B, tokens.T, device);
  batch.targets_BT = to_tensor(tokens.targets, tokens.B, tokens.T, device);
  if (!tokens.valid.empty())
    batch.valid_BT = to_tensor(tokens.valid, tokens.B, tokens.T, device).to(at::kBool);
  return batch;
}

Autocast::Autocast(Precision dtype, at::Device device)
    : on_(dtype != Precision::kFloat32), cuda_(device.is_cuda()) {
  if (!on_) return;
  const auto type = dtype == Precision::kBFloat16 ? at::kBFloat16 : at::kHalf;
  at::autocast::increment_nesting();
  if (cuda_) {
    at::autocast::set_autocast_gpu_dtype(type);
    at::autocast::set_enabled(true);
  } else {
    at::autocast::set_autocast_cpu_dtype(type);
    at::autocast::set_cpu_enabled(true);
  }
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  cuda_ ? at::autocast::set_enabled(false) : at::autocast::set_cpu_enabled(false);
}

Evaluation evaluate(const LanguageModel& model, const BatchSource& source, int64_t batches,
                    at::Device device, Precision dtype, const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(dtype, device);
  Evaluation e;
  std::map<std::string, Metric> losses, metrics;
  double squares = 0, draws = 0;
  int64_t first_sequence = 0;  // of the batch, so that no split into batches changes a draw
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    if (stop && stop()) {
      e.complete = false;
      return e;
    }
    auto [tokens, after] = source.next(cursor);
    cursor = after;
    const Batch batch = to_batch(tokens, device);
    const ModelOutput output = model.forward(batch, {false, RandomField(0, 0, first_sequence)});
    first_sequence += batch.tokens_BT.size(0);
    double batch_loss = 0, n = 0;  // n: targets of the part that has most
    for (const LossPart& part : output.losses) {
      if (part.count == 0) continue;
      const double sum = part.sum.item<double>();
      losses[part.name] += {sum, part.count};
      batch_loss += sum / part.count;
      n = std::max(n, part.count);
    }
    for (const auto& [name, metric] : output.metrics) metrics[name] += metric;
    squares += batch_loss * batch_loss * n;
    e.targets += n;
    draws += n > 0;
  }
  if (e.targets == 0)
    fail("nothing that was to be evaluated has a target", "evaluate more batches of it");
  for (const auto& [name, loss] : losses) e.loss += loss.sum / loss.count;
  for (const auto& [name, metric] : metrics)
    if (metric.count > 0) e.metrics[name] = metric.sum / metric.count;
  // Batches are the independent draws; each counts by its number of targets.
  const double variance = std::max(0.0, squares / e.targets - e.loss * e.loss);
  if (draws > 1) e.standard_error = std::sqrt(variance / (draws - 1));
  return e;
}

}  // namespace fathom
