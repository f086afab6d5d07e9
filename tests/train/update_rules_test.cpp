// Every optimiser against its formulas, computed by plain loops in double precision.
#include "fathom/train/update_rules.h"

#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "errors.h"
#include "fathom/model/device.h"
#include "fathom/train/optimizer.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

using Numbers = std::vector<double>;

// Two of Muon's matrices, a tall one and a wide one, a table and a vector.
std::vector<ParameterSpec> four_parameters() {
  const InitRule normal = {InitRule::kNormal, 1.0};
  return {{"mlp.0.up.weight", {5, 3}, Part::kMlp, normal},
          {"attention.0.out.weight", {3, 4}, Part::kAttention, normal},
          {"token_table.0.weight", {3, 2}, Part::kTokenTable, normal},
          {"norm_in.0.weight", {4}, Part::kNorm, normal}};
}

// Like none of the defaults.
OptimizerConfig settings(const std::string& optimizer) {
  OptimizerConfig c;
  c.optimizer = optimizer;
  c.weight_decay = 0.3;
  c.beta1 = 0.8;
  c.beta2 = 0.7;
  c.adam_eps = 0.05;
  c.momentum = 0.6;
  c.rmsprop_alpha = 0.75;
  c.learning_rate = 0.2;
  c.muon_lr = 0.05;
  c.muon_momentum = 0.85;
  c.muon_ns_steps = 3;
  return c;
}

// X -> aX + (bXX' + c(XX')^2)X, of a matrix with no more rows than columns, by loops.
Numbers newton_schulz(Numbers g, size_t rows, size_t columns, int64_t steps) {
  const bool tall = rows > columns;
  const auto turned = [](const Numbers& x, size_t r, size_t c) {
    Numbers t(x.size());
    for (size_t i = 0; i < r; ++i)
      for (size_t j = 0; j < c; ++j) t[j * r + i] = x[i * c + j];
    return t;
  };
  const auto times = [](const Numbers& x, const Numbers& y, size_t r, size_t inner, size_t c) {
    Numbers p(r * c);
    for (size_t i = 0; i < r; ++i)
      for (size_t j = 0; j < c; ++j)
        for (size_t k = 0; k < inner; ++k) p[i * c + j] += x[i * inner + k] * y[k * c + j];
    return p;
  };
  Numbers x = tall ? turned(g, rows, columns) : g;
  const size_t r = std::min(rows, columns), c = std::max(rows, columns);
  double squares = 0;
  for (const double v : x) squares += v * v;
  for (double& v : x) v /= std::sqrt(squares) + 1e-7;
  for (int64_t n = 0; n < steps; ++n) {
    const Numbers a = times(x, turned(x, r, c), r, c, r), aa = times(a, a, r, r, r);
    const Numbers ax = times(a, x, r, r, c), aax = times(aa, x, r, r, c);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] - 4.7750 * ax[i] + 2.0315 * aax[i];
  }
  return tall ? turned(x, r, c) : x;
}

// One parameter and what is kept of it, as the textbooks have it.
struct Textbook {
  OptimizerConfig c;
  ParameterSpec spec;
  bool decays;
  Numbers w;
  std::map<std::string, Numbers> kept = {};
  int n = 0;
  Numbers x = {}, z = {};  // of schedule-free AdamW
  double weights = 0;

  Numbers& state(const std::string& name) {
    Numbers& s = kept[name];
    s.resize(w.size());
    return s;
  }
  double decay() const { return decays ? c.weight_decay : 0; }

  void step(Numbers g, double lr) {
    ++n;
    const bool is_matrix = spec.part == Part::kMlp || spec.part == Part::kAttention;
    if (c.optimizer == "adamw") adamw(g, lr);
    if (c.optimizer == "muon") is_matrix ? muon(g, lr) : adamw(g, lr);
    if (c.optimizer == "schedule_free_adamw") schedule_free(g, lr);
    for (size_t i = 0; i < w.size(); ++i) g[i] += decay() * w[i];
    if (c.optimizer == "adam") adam(g, lr);
    for (size_t i = 0; i < w.size(); ++i) {
      if (c.optimizer == "adagrad") {
        double& sum = state("sum")[i];
        sum += g[i] * g[i];
        w[i] -= lr * g[i] / (std::sqrt(sum) + c.adam_eps);
      }
      if (c.optimizer == "sgd") {
        double& buffer = state("buffer")[i];
        buffer = n == 1 ? g[i] : c.momentum * buffer + g[i];
        w[i] -= lr * buffer;
      }
      if (c.optimizer == "rmsprop") {
        double& average = state("square_avg")[i];
        average = c.rmsprop_alpha * average + (1 - c.rmsprop_alpha) * g[i] * g[i];
        w[i] -= lr * g[i] / (std::sqrt(average) + c.adam_eps);
      }
    }
  }
  void adam(const Numbers& g, double lr) {
    for (size_t i = 0; i < w.size(); ++i) {
      double &m = state("m")[i], &v = state("v")[i];
      m = c.beta1 * m + (1 - c.beta1) * g[i];
      v = c.beta2 * v + (1 - c.beta2) * g[i] * g[i];
      const double m_hat = m / (1 - std::pow(c.beta1, n)), v_hat = v / (1 - std::pow(c.beta2, n));
      w[i] -= lr * m_hat / (std::sqrt(v_hat) + c.adam_eps);
    }
  }
  void adamw(const Numbers& g, double lr) {
    for (double& x_i : w) x_i -= lr * decay() * x_i;
    adam(g, lr);
  }
  void muon(const Numbers& g, double lr) {
    Numbers& m = state("buffer");
    Numbers ahead(g.size());
    for (size_t i = 0; i < g.size(); ++i) {
      m[i] += (1 - c.muon_momentum) * (g[i] - m[i]);
      ahead[i] = c.muon_momentum * m[i] + (1 - c.muon_momentum) * g[i];
    }
    const auto rows = size_t(spec.shape[0]), columns = size_t(spec.shape[1]);
    const Numbers direction = newton_schulz(ahead, rows, columns, c.muon_ns_steps);
    const double rate = lr / c.learning_rate * c.muon_lr;
    const double scale = rows > columns ? std::sqrt(double(rows) / double(columns)) : 1;
    for (size_t i = 0; i < w.size(); ++i)
      w[i] = w[i] * (1 - rate * decay()) - rate * scale * direction[i];
  }
  void schedule_free(const Numbers& g, double lr) {
    if (n == 1) x = z = w;
    const double gamma = lr * std::sqrt(1 - std::pow(c.beta2, n));
    weights += gamma * gamma;
    for (size_t i = 0; i < w.size(); ++i) {
      double& v = state("v")[i];
      v = c.beta2 * v + (1 - c.beta2) * g[i] * g[i];
      z[i] -= gamma * (g[i] / (std::sqrt(v) + c.adam_eps) + decay() * w[i]);
      const double share = gamma * gamma / weights;
      x[i] = (1 - share) * x[i] + share * z[i];
      w[i] = (1 - c.beta1) * z[i] + c.beta1 * x[i];
    }
    kept["z"] = z;
    kept["y"] = x;  // while the parameter is y
    kept["weight_sum"] = {weights};
  }
};

// `steps` of them with gradients that are taken half as large.
void expect_follows(const std::string& name, at::ScalarType dtype, int steps, double tolerance) {
  const OptimizerConfig config = settings(name);
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
    expect_follows(rule.name, at::kDouble, 1, 1e-13);
}

TEST(UpdateRules, FollowTheirFormulasForSixSteps) {
  for (const OptimizerRule& rule : optimizer_rules())
    expect_follows(rule.name, at::kDouble, 6, 1e-11);
}

TEST(UpdateRules, FollowThemInSinglePrecision) {
  set_threads(1);
  for (const OptimizerRule& rule : optimizer_rules())
    expect_follows(rule.name, at::kFloat, 6, 1e-4);
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

TEST(ParameterGroups, HaveARateAndADecayOfTheirOwn) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    SCOPED_TRACE(rule.name);
    OptimizerConfig grouped = settings(rule.name), all = grouped;
    grouped.parameter_groups = "norm*: lr=0.5, decay=0.2; *.up.*: decay=0";
    const ParameterSet one(four_parameters(), 1, at::kCPU, at::kDouble);
    std::vector<Textbook> expected;
    for (const Parameter& p : one.all())
      expected.push_back({all, p.spec, p.tensor.dim() == 2, numbers(p.tensor)});
    expected[0].decays = false;
    expected[3].decays = true;
    expected[3].c.weight_decay = 0.2;
    Optimizer optimizer(one, grouped);
    for (size_t i = 0; i < expected.size(); ++i) {
      Tensor p = one.all()[i].tensor;
      p.mutable_grad() = random_normal(p.sizes(), unsigned(i));
      expected[i].step(numbers(p.grad()), i == 3 ? 0.05 : 0.1);
    }
    optimizer.step(0.1);
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_LE(max_difference(one.all()[i].tensor,
                               tensor_of(expected[i].w, one.all()[i].tensor.sizes())),
                1e-13)
          << expected[i].spec.name;
  }
}

TEST(ParameterGroups, FrozenUntilAStepTheyBeginThen) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    SCOPED_TRACE(rule.name);
    OptimizerConfig config = settings(rule.name);
    config.parameter_groups = "mlp.*: frozen_until=2";
    const ParameterSet parameters(four_parameters(), 1, at::kCPU, at::kDouble);
    Tensor late = parameters.all()[0].tensor;
    const Tensor before = late.detach().clone();
    Textbook expected{config, parameters.all()[0].spec, true, numbers(late)};
    Optimizer optimizer(parameters, config);
    for (int64_t step = 0; step < 4; ++step) {
      optimizer.begin_step(step);
      EXPECT_EQ(late.requires_grad(), step >= 2);
      for (const Parameter& p : parameters.all())
        Tensor(p.tensor).mutable_grad() = random_normal(p.tensor.sizes(), unsigned(step));
      if (step >= 2) expected.step(numbers(late.grad()), 0.1);
      const Tensor other = parameters.all()[3].tensor.detach().clone();
      optimizer.step(0.1);
      EXPECT_EQ(same_bits(late, before), step < 2);
      EXPECT_FALSE(same_bits(parameters.all()[3].tensor, other));
      EXPECT_LE(max_difference(late, tensor_of(expected.w, {5, 3})), 1e-12);
    }
    EXPECT_EQ(optimizer.begun(), (std::map<std::string, int64_t>{{"mlp.0.up.weight", 2}}));
  }
}

// What a run's later stage may change.
TEST(Configure, GoesOnWithOtherSettings) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    SCOPED_TRACE(rule.name);
    OptimizerConfig config = settings(rule.name);
    const ParameterSet parameters(four_parameters(), 1, at::kCPU, at::kDouble);
    std::vector<Textbook> expected;
    for (const Parameter& p : parameters.all())
      expected.push_back({config, p.spec, p.tensor.dim() == 2, numbers(p.tensor)});
    Optimizer optimizer(parameters, config);
    const auto step = [&](unsigned n) {
      for (size_t i = 0; i < expected.size(); ++i) {
        Tensor p = parameters.all()[i].tensor;
        p.mutable_grad() = random_normal(p.sizes(), 10 * n + unsigned(i));
        if (p.requires_grad()) expected[i].step(numbers(p.grad()), 0.1);
      }
      optimizer.step(0.1);
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_LE(max_difference(parameters.all()[i].tensor,
                                 tensor_of(expected[i].w, parameters.all()[i].tensor.sizes())),
                  1e-12)
            << n << " " << expected[i].spec.name;
    };
    const auto freeze = [&](int frozen) {
      for (int i = 0; i < 4; ++i)
        Tensor(parameters.all()[size_t(i)].tensor).set_requires_grad(i != frozen);
    };
    step(1);
    config.weight_decay = 0.1;
    config.momentum = 0.3;
    for (Textbook& e : expected) e.c = config;
    optimizer.configure(parameters, config);
    step(2);
    // What is frozen answers as it did, and begins anew when it is thawed.
    freeze(2);
    optimizer.configure(parameters, config);
    if (std::string(rule.name) == "schedule_free_adamw") expected[2].w = expected[2].x;
    step(3);
    freeze(-1);
    optimizer.configure(parameters, config);
    expected[2] = {config, expected[2].spec, true, expected[2].w};
    step(4);
    EXPECT_EQ(optimizer.begun(), (std::map<std::string, int64_t>{{"token_table.0.weight", 3}}));
  }
}

TEST(Configure, AnotherRuleBeginsAnew) {
  const ParameterSet parameters(four_parameters(), 1, at::kCPU, at::kDouble);
  Optimizer optimizer(parameters, settings("schedule_free_adamw"));
  for (const Parameter& p : parameters.all())
    Tensor(p.tensor).mutable_grad() = random_normal(p.tensor.sizes(), 1);
  for (int n = 0; n < 3; ++n) optimizer.step(0.1);
  const Tensor& w = parameters.all()[0].tensor;
  Tensor answer;
  {
    const Answering answering(optimizer);
    answer = w.detach().clone();
  }
  EXPECT_FALSE(same_bits(w, answer));
  optimizer.configure(parameters, settings("sgd"));
  EXPECT_TRUE(same_bits(w, answer));
  EXPECT_STREQ(optimizer.rule().name, "sgd");
  EXPECT_EQ(optimizer.steps(), 0);
  EXPECT_EQ(optimizer.state()[0].tensors.size(), 1U);
}

TEST(Answering, TheParametersAreTheAverageAndComeBackToTheBit) {
  for (const OptimizerRule& rule : optimizer_rules()) {
    SCOPED_TRACE(rule.name);
    const bool averages = std::string(rule.name) == "schedule_free_adamw";
    const ParameterSet parameters(four_parameters(), 1, at::kCPU, at::kFloat);
    Optimizer optimizer(parameters, settings(rule.name));
    const auto values = [&] {
      std::vector<Numbers> all;
      for (const Parameter& p : parameters.all()) all.push_back(numbers(p.tensor));
      return all;
    };
    {
      const auto fresh = values();
      const Answering answering(optimizer);
      EXPECT_EQ(values(), fresh) << "before the first step there is one point";
    }
    for (unsigned n = 0; n < 3; ++n) {
      for (const Parameter& p : parameters.all())
        Tensor(p.tensor).mutable_grad() = random_normal(p.tensor.sizes(), n).to(at::kFloat);
      optimizer.step(0.1);
    }
    const auto trained = values();
    std::vector<Numbers> answers;
    {
      const Answering answering(optimizer);
      {
        const Answering within(optimizer);
        answers = values();
      }
      EXPECT_EQ(values(), answers) << "one within another changes nothing";
    }
    EXPECT_EQ(values(), trained);
    EXPECT_EQ(answers != trained, averages);
    optimizer.reset();
    EXPECT_EQ(values(), answers) << "what answers is gone on from";
    EXPECT_EQ(optimizer.steps(), 0);
  }
}

}  // namespace
}  // namespace fathom::testing
