#include "fathom/train/batches.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "fathom/ops/plain.h"

namespace fathom {
namespace {

Tensor to_tensor(const std::vector<int64_t>& values, int64_t B, int64_t T, at::Device device) {
  const Tensor tensor = at::empty({B, T}, at::TensorOptions(at::kLong));
  std::copy(values.begin(), values.end(), tensor.data_ptr<int64_t>());
  return tensor.to(device);
}

}  // namespace

Batch to_batch(const TokenBatch& tokens, at::Device device) {
  return {to_tensor(tokens.tokens, tokens.B, tokens.T, device),
          to_tensor(tokens.targets, tokens.B, tokens.T, device)};
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
                    at::Device device, Precision dtype) {
  const at::NoGradGuard no_grad;
  const Autocast autocast(dtype, device);
  Evaluation e;
  double sum = 0, correct = 0, squares = 0, draws = 0;
  Cursor cursor = source.start();
  for (int64_t i = 0; i < batches; ++i) {
    auto [tokens, after] = source.next(cursor);
    cursor = after;
    const Batch batch = to_batch(tokens, device);
    const double n = batch.targets_BT.ne(-1).sum().item<double>();
    if (n == 0) continue;
    const Tensor logits = model.logits(batch.tokens_BT).to(at::kFloat);
    const double batch_sum = cross_entropy(logits, batch.targets_BT).sum().item<double>();
    correct += logits.argmax(-1).eq(batch.targets_BT).sum().item<double>();
    sum += batch_sum;
    squares += batch_sum * batch_sum / n;
    e.targets += n;
    ++draws;
  }
  e.loss = sum / e.targets;
  e.accuracy = correct / e.targets;
  // Batches are the independent draws; each counts by its number of targets.
  const double variance = std::max(0.0, squares / e.targets - e.loss * e.loss);
  if (draws > 1) e.standard_error = std::sqrt(variance / (draws - 1));
  return e;
}

}  // namespace fathom
