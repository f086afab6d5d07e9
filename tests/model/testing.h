// What the tests of models share: small ones, and what a trainer asks of them. What looks into
// their walks is in walking.h.
#pragma once

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "fathom/model/next_token_model.h"
#include "fathom/model/spec/model_config.h"
#include "ops/testing.h"
#include "spec/shrink_loops.h"

namespace fathom::testing {

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
  config.ahead.max_shift = std::min<int64_t>(config.ahead.max_shift, 7);
  shrink_loops(config);
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

inline std::unique_ptr<NextTokenModel> model_of(const ModelConfig& config, int64_t vocab_size,
                                                at::ScalarType dtype = at::kFloat,
                                                uint64_t seed = 1) {
  auto model = make_model(config, vocab_size, seed, at::kCPU, dtype);
  auto* answers = dynamic_cast<NextTokenModel*>(model.get());
  if (answers == nullptr) std::abort();  // an experiment's that these tests know nothing about
  return std::unique_ptr<NextTokenModel>((model.release(), answers));
}

inline std::vector<Tensor> tensors_of(const Model& model) {
  std::vector<Tensor> tensors;
  for (const Parameter& p : model.parameters().all()) tensors.push_back(p.tensor);
  return tensors;
}

// Zeros and ones of the initialisation would hide a bias or a norm that is not applied.
inline void disturb(Model& model, double scale) {
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

// Mean loss per valid target of one batch, of a model with one loss.
inline double mean_loss(const Model& model, const Batch& batch, const Pass& pass = {}) {
  const ModelOutput output = model.forward(batch, pass);
  EXPECT_EQ(output.losses.size(), 1U);
  return output.losses.at(0).sum.item<double>() / output.losses.at(0).count;
}

}  // namespace fathom::testing
