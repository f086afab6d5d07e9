// The recipe of the early-exit presets: its learning rates, what decays, and what clipping spans.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fathom/train/gradients.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/schedule.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

TEST(EarlyExitRecipe, LearningRates) {
  for (const auto& [preset, last] :
       {std::pair<const char*, int64_t>{"papingo", 2000}, {"papingo_a100", 5000}}) {
    SCOPED_TRACE(preset);
    const RunConfig config = preset_config(preset);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 0), 1e-3 / 101);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 99), 1e-3 * 100 / 101);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 100), 1e-3);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, (100 + last) / 2), (1e-3 + 1e-4) / 2);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, last), 1e-4);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, last + 1), 1e-4);
    EXPECT_GT(learning_rate_at(config, last - 1), 1e-4);
  }
}

TEST(EarlyExitRecipe, Optimizer) {
  const RunConfig config = preset_config("papingo");
  EXPECT_EQ(config.optimizer.beta1, 0.9);
  EXPECT_EQ(config.optimizer.beta2, 0.99);
  EXPECT_EQ(config.optimizer.adam_eps, 1e-8);
  EXPECT_EQ(config.optimizer.weight_decay, 0.1);
  EXPECT_EQ(config.optimizer.grad_clip, 1.0);
}

// Every kind of parameter there is: tables, gates, heads and their biases, for two layers.
ParameterSet every_parameter() {
  ModelConfig config = exit_config(0.9);
  config.early_exit.layer_widths = {8, 16};
  config.early_exit.gate_mode = GateMode::kLearned;
  return ParameterSet(parameter_table(config, 11), 1, at::kCPU, at::kDouble);
}

TEST(EarlyExitRecipe, MatricesDecayAndNothingElse) {
  const ParameterSet parameters = every_parameter();
  std::vector<Tensor> before;
  for (const Parameter& p : parameters.all()) {
    Tensor(p.tensor.detach()).add_(1.0);  // zeros would not show their decay
    before.push_back(p.tensor.detach().clone());
    Tensor(p.tensor).mutable_grad() = at::zeros_like(p.tensor);
  }
  Optimizer(parameters, preset_config("papingo").optimizer).step(0.5);
  std::set<std::string> decayed, expected = {"position_table.weight"};
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& p = parameters.all()[i];
    if (same_bits(p.tensor, before[i])) continue;
    decayed.insert(p.spec.name);
    EXPECT_LE(max_difference(p.tensor, before[i] * 0.95), 1e-15) << p.spec.name;
  }
  for (const char* layer : {"0", "1"})
    for (const char* part : {"token_table.#", "attention.#.qkv", "attention.#.out", "mlp.#.up",
                             "mlp.#.down", "head.#", "gate.#"}) {
      std::string name = part;
      name.replace(name.find('#'), 1, layer);
      if (name != "gate.0") expected.insert(name + ".weight");
    }
  EXPECT_EQ(decayed, expected);
}

TEST(EarlyExitRecipe, ClippingSpansEveryLayersParameters) {
  const ParameterSet parameters = every_parameter();
  double squares = 0;
  std::vector<Tensor> gradients;
  for (const Parameter& p : parameters.all()) {
    gradients.push_back(random_normal(p.tensor.sizes(), unsigned(gradients.size())));
    Tensor(p.tensor).mutable_grad() = gradients.back().clone();
    for (const double g : numbers(gradients.back())) squares += g * g;
  }
  Optimizer optimizer(parameters, preset_config("papingo").optimizer);
  const double norm = std::sqrt(squares);
  EXPECT_NEAR(gradient_norm(parameters), norm, 1e-10 * norm);
  optimizer.step(
      0,
      clip_scale(gradient_norm(parameters),
                 preset_config("papingo")
                     .optimizer.grad_clip));  // the first moments are 1 - beta1 times what it took
  const double rest = 1 - preset_config("papingo").optimizer.beta1;
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_LE(max_difference(optimizer.state()[i].at("m"), gradients[i] * (rest / (norm + 1e-6))),
              1e-14);
}

}  // namespace
}  // namespace fathom::testing
