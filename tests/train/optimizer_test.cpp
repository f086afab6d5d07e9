// AdamW against its formulas, clipping, and which parameters decay.
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fathom/train/gradients.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/recipe/decay.h"
#include "fathom/train/recipe/registry.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

// A matrix that decays under both rules, one under the first only, and a vector.
ParameterSet three_parameters() {
  const InitRule normal = {InitRule::kNormal, 1.0};
  return ParameterSet({{"mlp.0.up.weight", {3, 2}, Part::kMlp, normal},
                       {"attention.0.out.weight", {2, 2}, Part::kAttention, normal},
                       {"norm_in.0.weight", {3}, Part::kNorm, normal}},
                      1, at::kCPU, at::kDouble);
}

void set_gradient(Tensor parameter, const Tensor& gradient) {
  parameter.mutable_grad() = gradient;
}

// The textbook's loop over one parameter.
struct ScalarAdamW {
  OptimizerConfig c;
  bool decays;
  std::vector<double> w, m, v;
  int n = 0;

  void step(const std::vector<double>& g, double lr) {
    ++n;
    for (size_t i = 0; i < w.size(); ++i) {
      m[i] = c.beta1 * m[i] + (1 - c.beta1) * g[i];
      v[i] = c.beta2 * v[i] + (1 - c.beta2) * g[i] * g[i];
      const double m_hat = m[i] / (1 - std::pow(c.beta1, n));
      const double v_hat = v[i] / (1 - std::pow(c.beta2, n));
      if (decays) w[i] -= lr * c.weight_decay * w[i];
      w[i] -= lr * m_hat / (std::sqrt(v_hat) + c.adam_eps);
    }
  }
};

// A parameter that comes late is moved as by an optimiser of its own.
TEST(AdamW, MomentsThatBeginLateAreCorrectedFromTheirBeginning) {
  OptimizerConfig config;
  config.beta2 = 0.999;
  const ParameterSet late = three_parameters(), fresh = three_parameters();
  Optimizer one(late, config), two(fresh, config);
  one.set_steps(5000, {{"mlp.0.up.weight", 5000}});
  for (const ParameterSet* set : {&late, &fresh})
    set_gradient(set->at("mlp.0.up.weight"), random_normal({3, 2}, 5));
  one.step(0.1);
  two.step(0.1);
  EXPECT_TRUE(at::equal(late.at("mlp.0.up.weight"), fresh.at("mlp.0.up.weight")));
  EXPECT_EQ(one.begun(), (std::map<std::string, int64_t>{{"mlp.0.up.weight", 5000}}));
}

TEST(AdamW, FollowsItsFormulasForFiveSteps) {
  OptimizerConfig config;
  config.weight_decay = 0.3;
  config.beta1 = 0.8;
  config.beta2 = 0.7;
  config.adam_eps = 0.05;
  const ParameterSet parameters = three_parameters();
  std::vector<ScalarAdamW> expected;
  for (const Parameter& p : parameters.all()) {
    const std::vector<double> zeros(size_t(p.tensor.numel()), 0.0);
    expected.push_back({config, p.tensor.dim() == 2, numbers(p.tensor), zeros, zeros});
  }
  Optimizer optimizer(parameters, config);
  for (int n = 1; n <= 5; ++n) {
    const double lr = 0.1 / n;
    for (size_t i = 0; i < 3; ++i) {
      const Tensor& p = parameters.all()[i].tensor;
      const Tensor g = random_normal(p.sizes(), unsigned(10 * n) + unsigned(i));
      set_gradient(p, g);
      expected[i].step(numbers(g), lr);
    }
    optimizer.step(lr);
    EXPECT_EQ(optimizer.steps(), n);
    for (size_t i = 0; i < 3; ++i) {
      SCOPED_TRACE(::testing::Message() << "step " << n << ", parameter " << i);
      const Tensor& p = parameters.all()[i].tensor;
      const Optimizer::State& state = optimizer.state()[i];
      EXPECT_EQ(state.name, parameters.all()[i].spec.name);
      EXPECT_LE(max_difference(p, tensor_of(expected[i].w, p.sizes())), 1e-14);
      EXPECT_LE(max_difference(state.at("m"), tensor_of(expected[i].m, p.sizes())), 1e-14);
      EXPECT_LE(max_difference(state.at("v"), tensor_of(expected[i].v, p.sizes())), 1e-14);
    }
  }
}

TEST(AdamW, FirstStepIsTheSignOfTheGradient) {
  OptimizerConfig config;
  config.weight_decay = 0;
  const ParameterSet parameters = three_parameters();
  const Tensor& w = parameters.all()[0].tensor;
  const Tensor before = w.detach().clone();
  set_gradient(w, tensor_of({1, -1, 100, -100, 1e-3, -1e-3}, {3, 2}));
  Optimizer(parameters, config).step(0.25);
  EXPECT_LE(max_difference(before - w, tensor_of({.25, -.25, .25, -.25, .25, -.25}, {3, 2})), 1e-5);
}

TEST(AdamW, LeavesAParameterWithoutAGradient) {
  const ParameterSet parameters = three_parameters();
  const Tensor& w = parameters.all()[0].tensor;
  const Tensor before = w.detach().clone();
  Optimizer optimizer(parameters, {});
  optimizer.step(0.1);
  EXPECT_TRUE(same_bits(w, before));
  EXPECT_EQ(gradient_norm(parameters), 0.0);
}

TEST(Clip, ScalesTheGlobalNorm) {
  OptimizerConfig config;
  config.grad_clip = 1.0;
  const ParameterSet parameters = three_parameters();
  Optimizer optimizer(parameters, config);
  const Tensor& a = parameters.all()[0].tensor;
  const Tensor& b = parameters.all()[2].tensor;  // the one between has no gradient
  const Tensor ga = tensor_of({3, 0, 0, 0, 0, 0}, {3, 2}), gb = tensor_of({0, -4, 0}, {3});
  set_gradient(a, ga.clone());
  set_gradient(b, gb.clone());
  const double norm = gradient_norm(parameters);
  EXPECT_DOUBLE_EQ(norm, 5.0);
  // The first moments are (1 - beta1) times what the step took for the gradients.
  const double rest = 1 - config.beta1, scale = 1 / (5 + 1e-6);
  optimizer.step(0, clip_scale(norm, config.grad_clip));
  EXPECT_LE(max_difference(optimizer.state()[0].at("m"), ga * (rest * scale)), 1e-15);
  EXPECT_LE(max_difference(optimizer.state()[2].at("m"), gb * (rest * scale)), 1e-15);
  // The next step takes them as they are, and so it is below the limit.
  optimizer.reset();
  optimizer.step(0);
  EXPECT_LE(max_difference(optimizer.state()[0].at("m"), ga * rest), 1e-15);
  optimizer.reset();
  set_gradient(a, ga * 0.1);
  set_gradient(b, gb * 0.1);
  const double small = gradient_norm(parameters);
  EXPECT_DOUBLE_EQ(small, 0.5);
  optimizer.step(0, clip_scale(small, config.grad_clip));
  EXPECT_LE(max_difference(optimizer.state()[0].at("m"), ga * (rest * 0.1)), 1e-15);
}

TEST(Clip, ZeroTurnsItOff) {
  OptimizerConfig config;
  config.grad_clip = 0;
  const ParameterSet parameters = three_parameters();
  const Tensor& a = parameters.all()[0].tensor;
  const Tensor g = random_normal({3, 2}, 1) * 1e6;
  set_gradient(a, g.clone());
  Optimizer optimizer(parameters, config);
  const double norm = gradient_norm(parameters);
  EXPECT_DOUBLE_EQ(norm, g.norm().item<double>());
  optimizer.step(0, clip_scale(norm, config.grad_clip));
  EXPECT_LE(max_difference(optimizer.state()[0].at("m"), g * (1 - config.beta1)), 1e-9);
}

// Names of the parameters that a step with zero gradients changes.
std::set<std::string> decayed(DecayRule rule) {
  OptimizerConfig config;
  config.decay_rule = rule;
  config.weight_decay = 0.5;
  ModelConfig model = untied_config();
  model.backbone.n_layer = 1;
  const ParameterSet parameters(parameter_table(model, 11), 1, at::kCPU, at::kDouble);
  std::vector<Tensor> before;
  for (const Parameter& p : parameters.all()) {
    before.push_back(p.tensor.detach().clone() + 1.0);  // zeros would not show their decay
    Tensor(p.tensor.detach()).copy_(before.back());
    set_gradient(p.tensor, at::zeros_like(p.tensor));
  }
  Optimizer(parameters, config).step(0.1);
  std::set<std::string> names;
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& p = parameters.all()[i];
    if (same_bits(p.tensor, before[i])) continue;
    names.insert(p.spec.name);
    EXPECT_LE(max_difference(p.tensor, before[i] * 0.95), 1e-15) << p.spec.name;
  }
  return names;
}

TEST(Decay, ActsOnTheRulesParametersOnly) {
  const std::set<std::string> mlp_and_head = {"mlp.0.up.weight", "mlp.0.down.weight",
                                              "head.0.weight"};
  EXPECT_EQ(decayed(DecayRule::kMlpAndHead), mlp_and_head);
  std::set<std::string> matrices = mlp_and_head;
  matrices.insert({"token_table.0.weight", "position_table.weight", "attention.0.qkv.weight",
                   "attention.0.out.weight"});
  EXPECT_EQ(decayed(DecayRule::kMatrices), matrices);
}

TEST(Decay, SplitsGpt2ishAsItsNotebookDoes) {
  int64_t decays_sum = 0, rest = 0;
  for (const ParameterSpec& spec : parameter_table(preset_config("gpt2ish").model, 50257))
    (decays(spec, DecayRule::kMlpAndHead) ? decays_sum : rest) += spec.count();
  EXPECT_EQ(decays_sum, 66'908'928);
  EXPECT_EQ(rest, 53'651'281);
}

}  // namespace
}  // namespace fathom::testing
