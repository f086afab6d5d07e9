// Every optimiser against its formulas, and which parameters it decays.
#include "fathom/train/update_rules.h"

#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "errors.h"
#include "fathom/model/device.h"
#include "fathom/ops/newton_schulz.h"
#include "train/textbook.h"

namespace fathom::testing {
namespace {

// `steps` of them with gradients that are taken half as large.
void expect_follows(const OptimizerConfig& config, at::ScalarType dtype, int steps,
                    double tolerance) {
  const std::string& name = config.optimizer;
  const ParameterSet parameters(four_parameters(), 1, at::kCPU, dtype);
  std::vector<Textbook> expected;
  for (const Parameter& p : parameters.all())
    expected.push_back({config, p.spec, p.tensor.dim() == 2, numbers(p.tensor)});
  Optimizer optimizer(parameters, config);
  for (int n = 1; n <= steps; ++n) {
    const double lr = 0.1 / n;
    for (size_t i = 0; i < expected.size(); ++i) {
      Tensor p = parameters.all()[i].tensor;
      const Tensor g = random_normal(p.sizes(), unsigned(10 * n) + unsigned(i));
      p.mutable_grad() = (2 * g).to(dtype);
      expected[i].step(numbers(g), lr);
    }
    optimizer.step(lr, 0.5);
    for (size_t i = 0; i < expected.size(); ++i) {
      const Textbook& e = expected[i];
      SCOPED_TRACE(::testing::Message() << name << ", step " << n << ", " << e.spec.name);
      const Tensor& p = parameters.all()[i].tensor;
      EXPECT_LE(max_difference(p, tensor_of(e.w, p.sizes())), tolerance);
      const Optimizer::State& state = optimizer.state()[i];
      ASSERT_EQ(state.tensors.size(), e.kept.size());
      for (const auto& [kept, values] : e.kept)
        EXPECT_LE(max_difference(state.at(kept), tensor_of(values, state.at(kept).sizes())),
                  tolerance)
            << kept;
    }
  }
}

TEST(UpdateRules, FollowTheirFormulasInOneStep) {
  for (const OptimizerRule& rule : optimizer_rules())
    expect_follows(settings(rule.name), at::kDouble, 1, 1e-13);
}

TEST(UpdateRules, FollowTheirFormulasForSixSteps) {
  for (const OptimizerRule& rule : optimizer_rules())
    expect_follows(settings(rule.name), at::kDouble, 6, 1e-11);
}

TEST(UpdateRules, MuonFollowsItsFormulaWithoutNesterovsStepAhead) {
  OptimizerConfig config = settings("muon");
  config.muon_nesterov = false;
  expect_follows(config, at::kDouble, 6, 1e-11);
}

TEST(UpdateRules, FollowThemInSinglePrecision) {
  set_threads(1);
  for (const OptimizerRule& rule : optimizer_rules())
    expect_follows(settings(rule.name), at::kFloat, 6, 1e-4);
}

TEST(UpdateRules, AnUnknownOneIsRefused) {
  EXPECT_THAT(error_of([] { update_rule("lion"); }), ::testing::HasSubstr("\"lion\""));
  EXPECT_THAT(error_of([] { optimizer_rule("lion"); }), ::testing::HasSubstr("\"lion\""));
}

// Singular values go through the polynomial, and nothing else happens.
TEST(Orthogonalised, MapsSingularValuesAndKeepsTheirVectors) {
  const auto turn = [](double t, int64_t n) {
    Numbers u(size_t(n * n));
    for (int64_t i = 0; i < n; ++i) u[size_t(i * n + i)] = 1;
    u[0] = u[size_t(n + 1)] = std::cos(t);
    u[1] = -std::sin(t);
    u[size_t(n)] = std::sin(t);
    return tensor_of(u, {n, n});
  };
  const Tensor U = turn(0.4, 2), V = turn(1.1, 3);
  const auto with_values = [&](double s, double t) {
    return U.matmul(tensor_of({s, 0, 0, 0, t, 0}, {2, 3})).matmul(V);
  };
  const auto p = [](double s) {
    for (int i = 0; i < 5; ++i) s = 3.4445 * s - 4.7750 * std::pow(s, 3) + 2.0315 * std::pow(s, 5);
    return s;
  };
  const Tensor G = with_values(3, 4);
  const double norm = 5 + 1e-7;
  const Tensor expected = with_values(p(3 / norm), p(4 / norm));
  EXPECT_LE(max_difference(orthogonalised(G, 5), expected), 1e-12);
  EXPECT_LE(max_difference(orthogonalised(G.t(), 5), expected.t()), 1e-12);
  EXPECT_GT(p(0.01), 0.68);
  EXPECT_LT(p(1), 1.2);
  EXPECT_LE(max_difference(orthogonalised(G * 0, 5), G * 0), 0.0) << "of nothing nothing is made";
}

// Names of the parameters that a step changes; all gradients are zero.
std::set<std::string> decayed(const std::string& optimizer, DecayRule rule, double decay) {
  OptimizerConfig config = settings(optimizer);
  config.decay_rule = rule;
  config.weight_decay = decay;
  ModelConfig model = untied_config();
  model.backbone.n_layer = 1;
  const ParameterSet parameters(parameter_table(model, 11), 1, at::kCPU, at::kDouble);
  std::vector<Tensor> before;
  for (const Parameter& p : parameters.all()) {
    before.push_back(p.tensor.detach().clone() + 1.0);  // zeros would not show their decay
    Tensor(p.tensor.detach()).copy_(before.back());
    Tensor(p.tensor).mutable_grad() = at::zeros_like(p.tensor);
  }
  Optimizer(parameters, config).step(0.1);
  std::set<std::string> names;
  for (size_t i = 0; i < before.size(); ++i)
    if (!same_bits(parameters.all()[i].tensor, before[i]))
      names.insert(parameters.all()[i].spec.name);
  return names;
}

TEST(UpdateRules, DecayTheRulesParametersOnly) {
  const std::set<std::string> mlp_and_head = {"mlp.0.up.weight", "mlp.0.down.weight",
                                              "head.0.weight"};
  std::set<std::string> matrices = mlp_and_head;
  matrices.insert({"token_table.0.weight", "position_table.weight", "attention.0.qkv.weight",
                   "attention.0.out.weight"});
  for (const OptimizerRule& rule : optimizer_rules()) {
    SCOPED_TRACE(rule.name);
    EXPECT_EQ(decayed(rule.name, DecayRule::kMlpAndHead, 0.5), mlp_and_head);
    EXPECT_EQ(decayed(rule.name, DecayRule::kMatrices, 0.5), matrices);
    EXPECT_EQ(decayed(rule.name, DecayRule::kMatrices, 0), std::set<std::string>{});
  }
}

}  // namespace
}  // namespace fathom::testing
