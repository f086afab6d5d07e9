// What the engine's tests share: tensors to and from plain numbers, small models, and gradients
// against differences.
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fathom/model/depth_model.h"
#include "fathom/train/plan/registry.h"

namespace fathom::testing {

inline Tensor tensor_of(const std::vector<double>& values, at::IntArrayRef shape) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kDouble));
  std::copy(values.begin(), values.end(), t.data_ptr<double>());
  return t;
}

inline std::vector<double> numbers(const Tensor& tensor) {
  const Tensor t = tensor.detach().to(at::kDouble).contiguous();
  return {t.data_ptr<double>(), t.data_ptr<double>() + t.numel()};
}

// N(0, 1) in double precision, of a generator that the code under test does not use.
inline Tensor random_normal(at::IntArrayRef shape, unsigned seed) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kDouble));
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<double>()[i] = normal(generator);
  return t;
}

inline Tensor random_tokens(at::IntArrayRef shape, int64_t vocab_size, unsigned seed) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kLong));
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<int64_t> token(0, vocab_size - 1);
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<int64_t>()[i] = token(generator);
  return t;
}

inline double max_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  const std::vector<double> x = numbers(a), y = numbers(b);
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = std::abs(x[i] - y[i]);
    if (std::isnan(difference)) return difference;  // no comparison with it is ever true
    largest = std::max(largest, difference);
  }
  return largest;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return at::equal(a, b);
}

inline void backward(const Tensor& scalar) {
  torch::autograd::backward({scalar}, {});
}

// Checks d f / d leaf against central differences (five points, so that their own error is far
// below the tolerance) at `samples` entries of each leaf. Leaves are double and require a gradient;
// f gives a scalar and reads them anew at each call.
inline void expect_gradients(const std::function<Tensor()>& f, const std::vector<Tensor>& leaves,
                             int64_t samples, double tolerance = 1e-6) {
  for (Tensor leaf : leaves) leaf.mutable_grad() = Tensor();
  backward(f());
  for (size_t k = 0; k < leaves.size(); ++k) {
    const Tensor& leaf = leaves[k];
    ASSERT_TRUE(leaf.grad().defined()) << "leaf " << k << " has no gradient";
    const std::vector<double> gradient = numbers(leaf.grad());
    auto* data = leaf.data_ptr<double>();
    const int64_t stride = std::max<int64_t>(1, leaf.numel() / samples);
    for (int64_t i = 0; i < leaf.numel(); i += stride) {
      const double kept = data[i], h = 1e-4;
      const auto at_offset = [&](double steps) {
        data[i] = kept + steps * h;
        const double value = f().item<double>();
        data[i] = kept;
        return value;
      };
      const double expected =
          (8 * (at_offset(1) - at_offset(-1)) - (at_offset(2) - at_offset(-2))) / (12 * h);
      // Below 1e-3 the rounding of f itself shows in the difference.
      EXPECT_NEAR(gradient[size_t(i)], expected, tolerance * std::max(std::abs(expected), 1e-3))
          << "leaf " << k << ", entry " << i;
    }
  }
}

// A preset's settings at a size that a test can afford.
inline ModelConfig shrunk(ModelConfig config) {
  BackboneConfig& b = config.backbone;
  b.n_layer = b.n_head = 2;
  b.n_embd = 16;
  b.block_size = 8;
  const auto cut = [](auto& per_layer) {
    if (!per_layer.empty()) per_layer.resize(2);
  };
  cut(config.early_exit.layer_contexts);
  cut(config.halting.thresholds);
  cut(config.supervision.layer_supervision.list);
  if (!config.early_exit.layer_widths.empty()) config.early_exit.layer_widths = {8, 16};
  return config;
}

// No biases and a tied head, as nanoGPT has them.
inline ModelConfig tied_config() {
  return shrunk({});
}

// Everything the tied one has not.
inline ModelConfig untied_config() {
  ModelConfig config = shrunk({});
  BackboneConfig& b = config.backbone;
  b.bias = b.head_bias = true;
  b.tie_head = false;
  b.activation = Activation::kGeluTanh;
  b.init = Init::kTorch;
  b.norm_eps = 1e-3;
  return config;
}

// A table and a head per layer, every layer trained, and answers by the largest probability.
// Nothing but the layer's number is in how its parameters are drawn, so that a shallower model is
// the first layers of a deeper one.
inline ModelConfig exit_config(double threshold, int64_t n_layer = 2) {
  ModelConfig config = untied_config();
  config.backbone.n_layer = n_layer;
  config.early_exit.layer_tables = config.early_exit.layer_heads = true;
  config.halting.rule = HaltRule::kMax;
  config.halting.threshold = threshold;
  config.supervision.layer_supervision = {"all", {}};
  return config;
}

inline std::unique_ptr<LanguageModel> model_of(const ModelConfig& config, int64_t vocab_size,
                                               at::ScalarType dtype = at::kFloat,
                                               uint64_t seed = 1) {
  return make_model(config, vocab_size, seed, at::kCPU, dtype);
}

inline std::vector<Tensor> tensors_of(const LanguageModel& model) {
  std::vector<Tensor> tensors;
  for (const Parameter& p : model.parameters().all()) tensors.push_back(p.tensor);
  return tensors;
}

// Zeros and ones of the initialisation would hide a bias or a norm that is not applied.
inline void disturb(LanguageModel& model, double scale) {
  const at::NoGradGuard no_grad;
  unsigned seed = 1;
  for (Tensor t : tensors_of(model)) t.add_(random_normal(t.sizes(), seed++), scale);
}

inline Batch batch_of(const Tensor& tokens_BT, const Tensor& targets_BT) {
  Batch batch;
  batch.tokens_BT = tokens_BT;
  batch.targets_BT = targets_BT;
  return batch;
}

inline const DepthModel& depth(const LanguageModel& model) {
  return dynamic_cast<const DepthModel&>(model);
}

// A walk that keeps states and doors.
inline Trace walk(const LanguageModel& model, const Batch& batch,
                  const std::vector<Tensor>* replay = nullptr, bool training = false) {
  WalkOptions options;
  options.training = training;
  options.keep_states = options.keep_doors = true;
  options.replay = replay;
  return depth(model).walk().run(depth(model).program(), batch, options);
}

// Of each layer's own head, (R, V), in the graph.
inline std::vector<Tensor> layer_logits(const LanguageModel& model, const Trace& trace) {
  std::vector<Tensor> all;
  for (size_t i = 0; i < trace.steps.size(); ++i) {
    const LinearParams& head = depth(model).walk().params().head.at(int(i));
    all.push_back(linear(trace.steps[i].n_RC, head.weight, head.bias));
  }
  return all;
}

// Mean loss per valid target of one batch, of a model with one loss.
inline double mean_loss(const LanguageModel& model, const Batch& batch, const Pass& pass = {}) {
  const ModelOutput output = model.forward(batch, pass);
  EXPECT_EQ(output.losses.size(), 1U);
  return output.losses.at(0).sum.item<double>() / output.losses.at(0).count;
}

}  // namespace fathom::testing
