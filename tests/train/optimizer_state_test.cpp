// What an optimiser knows of its parameters: groups, beginnings, other settings on the way, and the
// weights that answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/textbook.h"

namespace fathom::testing {
namespace {

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
