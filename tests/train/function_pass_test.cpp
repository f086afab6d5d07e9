// What an experiment's functions see of the pass that calls them: its settings, whether and where
// it trains, and numbers that only the address decides.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fathom/model/depth_model.h"
#include "fathom/model/spec/architecture.h"
#include "model/walking.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Of every call, in their order.
struct SeenCalls {
  std::vector<double> strength;
  std::vector<bool> training;
  std::vector<int64_t> step;
  std::vector<Tensor> draws_R2;

  RowFunctions functions() {
    return {{"noisy", [this](const FunctionCall& call) {
               const Tensor& x_RC = call.args[0];
               strength.push_back(call.settings.number("strength"));
               training.push_back(call.training);
               step.push_back(call.training_step);
               const Tensor u_R2 = call.uniform("mix", 2, x_RC);
               draws_R2.push_back(u_R2);
               if (!u_R2.defined()) return x_RC * strength.back();
               call.record("u", u_R2);
               return x_RC * u_R2.select(1, 0).unsqueeze(1) * strength.back();
             }}};
  }
};

// r = r + A(n) + F.noisy(n) - F.noisy(r), with a setting of the pass and one of the model.
ModelConfig noisy_config(ModelConfig config = untied_config()) {
  const auto noisy = std::make_shared<Architecture>();
  noisy->name = "noisy";
  noisy->add_fields = [](FieldList& list, OwnSettings& own) {
    list.add("strength", own.number("strength", 0.5), "").at_least(0).at_most(9).of_policy();
    list.add("of_the_model", own.integer("of_the_model", 3), "").at_least(1).at_most(9);
  };
  noisy->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy&) {
    using namespace wire;
    const Expr noise = function("noisy", {name("n")}) - function("noisy", {name("r")});
    plan.wirings = {{{{"r", name("r") + attention(name("n")) + noise}}}};
    each_layer(plan, [](LayerSpec& layer) { layer.mlp.clear(), layer.norm.clear(); });
  };
  config.architecture = noisy;
  FieldList list;
  add_fields(list, config);
  return config;
}

std::unique_ptr<DepthModel> noisy_model(const ModelConfig& config, SeenCalls& seen) {
  const DepthPlan plan = make_depth_plan(config);
  return std::make_unique<DepthModel>(ModelParts{
      config, 8, plan, make_policy(config),
      make_supervision(config.supervision, config.backbone.n_layer),
      ParameterSet(parameter_table(plan, config.backbone, 8), 1, at::kCPU), seen.functions()});
}

Batch noisy_batch() {
  return batch_of(random_tokens({3, 8}, 8, 1), random_tokens({3, 8}, 8, 2));
}

Pass training_pass(int64_t step) {
  Pass pass;
  pass.training = true;
  pass.random = RandomField(7, step, 0);
  return pass;
}

class FunctionPassTest : public TrainTest {
 protected:
  Trainer noisy_trainer(const RunPlan& plan, SeenCalls& seen) {
    return {plan, 8, "", noisy_model(plan.stages.at(0).config.model, seen)};
  }
};

TEST_F(FunctionPassTest, NumbersAreDrawnInTrainingAlone) {
  SeenCalls seen;
  const auto model = noisy_model(noisy_config(), seen);
  model->forward(noisy_batch(), {});
  ASSERT_EQ(seen.draws_R2.size(), 4U);  // of two layers
  for (const Tensor& u : seen.draws_R2) EXPECT_FALSE(u.defined());
  EXPECT_THAT(seen.training, Each(false));
  EXPECT_THAT(seen.step, Each(0));
  seen = {};
  model->forward(noisy_batch(), training_pass(11));
  ASSERT_EQ(seen.draws_R2.size(), 4U);
  EXPECT_THAT(seen.training, Each(true));
  EXPECT_THAT(seen.step, Each(11));
  for (const Tensor& u : seen.draws_R2) {
    EXPECT_EQ(u.sizes(), (at::IntArrayRef{24, 2}));
    EXPECT_EQ(u.scalar_type(), at::kFloat);
    EXPECT_FALSE(u.requires_grad());
    EXPECT_TRUE(u.ge(0).all().item<bool>() && u.lt(1).all().item<bool>());
    EXPECT_NEAR(u.mean().item<double>(), 0.5, 0.2);
  }
}

// Every call, layer, iteration, step, sequence and channel has numbers of its own.
TEST_F(FunctionPassTest, NoTwoNumbersOfAStepAreTheSame) {
  ModelConfig config = noisy_config();
  config.looping.groups = {"", {{0, {{1, {}, false}}, true}}};
  config.looping.max_loops = 3;
  config.looping.sampling = LoopSampling::kFixed;
  SeenCalls seen;
  const auto model = noisy_model(config, seen);
  for (const int64_t step : {11, 12}) model->forward(noisy_batch(), training_pass(step));
  ASSERT_EQ(seen.draws_R2.size(), 2U * 2 * (1 + 3));
  std::set<double> different;
  size_t all = 0;
  for (const Tensor& u : seen.draws_R2)
    for (const double x : numbers(u.to(at::kDouble))) different.insert(x), ++all;
  EXPECT_GE(different.size() + 2, all) << "single precision may have one twice by chance";
}

// A row's numbers are its own, whoever else is there.
TEST_F(FunctionPassTest, RowsThatAreLeftKeepTheirNumbers) {
  SeenCalls seen;
  const auto model = noisy_model(noisy_config(exit_config(0.5)), seen);
  const std::vector<Tensor> decisions = {random_tokens({3, 8}, 2, 5).eq(1),
                                         random_tokens({3, 8}, 2, 6).eq(1)};
  const at::NoGradGuard no_grad;
  WalkOptions options;
  options.training = true;
  options.random = RandomField(7, 11, 0);
  options.replay = &decisions;
  model->walk().run(model->program(), noisy_batch(), options);
  options.skip = true;
  const Trace trace = model->walk().run(model->program(), noisy_batch(), options);
  ASSERT_EQ(seen.draws_R2.size(), 8U);
  const Tensor left = trace.steps[1].rows->source();
  ASSERT_LT(left.numel(), 24);
  for (const size_t call : {2, 3})
    EXPECT_TRUE(same_bits(seen.draws_R2[4 + call], seen.draws_R2[call].index_select(0, left)));
}

TEST_F(FunctionPassTest, AStepDependsNeitherOnItsDivisionNorOnRecomputation) {
  corpus_ = corpus();
  const auto step_of = [&](int64_t batch, int64_t accumulated, bool recompute) {
    RunConfig config = tiny_run(noisy_config());
    config.optimizer.grad_clip = 0;
    config.data.batch_size = batch;
    config.data.gradient_accumulation_steps = accumulated;
    config.training.recompute_blocks = recompute;
    SeenCalls seen;
    return first_step(noisy_trainer(one_stage(config, *corpus_), seen));
  };
  const StepResult whole = step_of(8, 1, false);
  for (const auto& other :
       {step_of(4, 2, false), step_of(1, 8, false), step_of(8, 1, true), step_of(4, 2, true)}) {
    EXPECT_LE(relative_distance(other.gradient, whole.gradient), 1e-6);
    EXPECT_NEAR(other.report.loss, whole.report.loss, 1e-6 * whole.report.loss);
  }
}

// r = r + A(n) in the first block, r = r + F.gain(n) in the second, where F.gain is of a parameter
// and tells what it made.
ModelConfig gain_config() {
  ModelConfig config = untied_config();
  const auto gain = std::make_shared<Architecture>();
  gain->name = "gain";
  gain->add_parameters = [](const ModelConfig& c, const DepthPlan&, int64_t) {
    return std::vector<ParameterSpec>{
        {"gain.weight", {c.backbone.n_embd}, Part::kOwn, normal_init(1)}};
  };
  gain->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy&) {
    using namespace wire;
    plan.wirings = {{{{"r", name("r") + attention(name("n"))}}},
                    {{{"r", name("r") + function("gain", {name("n")})}}}};
    int at = 0;
    each_layer(plan, [&](LayerSpec& layer) {
      layer.mlp.clear(), layer.norm.clear();
      if (at > 0) layer.attention.clear();
      layer.wiring = at++;
    });
  };
  config.architecture = gain;
  return config;
}

// What a function records is in the graph, whatever else is computed again: the same bits, and the
// gradient reaches the function's parameter.
TEST_F(FunctionPassTest, WhatIsWatchedHasItsGradientWhereBlocksAreComputedAgain) {
  const ModelConfig config = gain_config();
  const DepthPlan plan = make_depth_plan(config);
  ParameterSet parameters(parameter_table(config, 8), 1, at::kCPU);
  const Tensor weight = parameters.at("gain.weight");
  const RowFunctions functions = {{"gain", [weight](const FunctionCall& call) {
                                     const Tensor made = call.args[0] * weight;
                                     call.record("made", made);
                                     return made;
                                   }}};
  const DepthModel model({config, 8, plan, make_policy(config),
                          make_supervision(config.supervision, config.backbone.n_layer), parameters,
                          functions});
  const auto gradients = [&](bool recompute, bool keep) {
    for (const Parameter& p : parameters.all()) p.tensor.mutable_grad() = Tensor();
    Kept kept = {"F.gain.made"};
    WalkOptions options;
    options.training = true;
    options.random = RandomField(7, 11, 0);
    options.recompute_blocks = recompute;
    options.keep_functions = keep;
    options.observe = kept.observer();
    const Trace trace = model.walk().run(model.program(), noisy_batch(), options);
    const Tensor made = kept.at(1, "F.gain.made");
    EXPECT_EQ(made.requires_grad(), keep || !recompute);
    backward(trace.end.r_RC.sum() + made.square().sum());
    std::map<std::string, Tensor> found;
    for (const Parameter& p : parameters.all())
      if (p.tensor.grad().defined()) found[p.spec.name] = p.tensor.grad().clone();
    return found;
  };
  const auto whole = gradients(false, false), again = gradients(true, true),
             lost = gradients(true, false);
  ASSERT_EQ(again.size(), whole.size());
  for (const auto& [name, gradient] : whole)
    EXPECT_TRUE(same_bits(again.at(name), gradient)) << name;
  EXPECT_TRUE(again.count("attention.0.out.weight"));
  EXPECT_FALSE(same_bits(lost.at("gain.weight"), whole.at("gain.weight")));
}

// Where all blocks have such functions nothing would be computed again.
TEST_F(FunctionPassTest, RecomputationOfNothingIsRefused) {
  struct Watching : DepthModel {
    using DepthModel::DepthModel;
    std::vector<std::string> watch() const override { return {"F.noisy.u"}; }
  };
  const ModelConfig config = noisy_config();
  SeenCalls seen;
  const DepthPlan plan = make_depth_plan(config);
  const Watching model({config, 8, plan, make_policy(config),
                        make_supervision(config.supervision, config.backbone.n_layer),
                        ParameterSet(parameter_table(plan, config.backbone, 8), 1, at::kCPU),
                        seen.functions()});
  Pass pass = training_pass(3);
  EXPECT_NO_THROW(model.forward(noisy_batch(), pass));
  pass.recompute_blocks = true;
  EXPECT_THAT(caught([&] { model.forward(noisy_batch(), pass); }).what(),
              HasSubstr("recompute_blocks computes none of them again"));
  const at::NoGradGuard no_grad;
  EXPECT_NO_THROW(model.forward(noisy_batch(), pass));
}

// By the policy that a pass is given, what it computes is what a model of these settings does.
TEST_F(FunctionPassTest, SettingsAreThePasss) {
  ModelConfig weak = noisy_config(), strong = weak;
  strong.own.number("strength", 0) = 2;
  EXPECT_FALSE(pass_alike(weak, strong));
  ModelConfig other = weak;
  other.own.integer("of_the_model", 0) = 4;
  EXPECT_TRUE(pass_alike(weak, other));
  SeenCalls seen;
  const auto model = noisy_model(weak, seen), expected = noisy_model(strong, seen);
  const Policy policy = make_policy(strong);
  Pass pass;
  pass.policy = &policy;
  seen = {};
  const double by_policy = mean_loss(*model, noisy_batch(), pass);
  EXPECT_THAT(seen.strength, Each(2));
  EXPECT_EQ(by_policy, mean_loss(*expected, noisy_batch()));
  EXPECT_NE(by_policy, mean_loss(*model, noisy_batch()));
  // In a graph that is computed once more, too, when the pass's policy is no more.
  pass = training_pass(3);
  pass.recompute_blocks = true;
  auto gone = std::make_unique<Policy>(policy);
  pass.policy = gone.get();
  seen = {};
  const ModelOutput output = model->forward(noisy_batch(), pass);
  gone.reset();
  backward(output.losses.at(0).sum);
  EXPECT_EQ(seen.strength.size(), 8U);
  EXPECT_THAT(seen.strength, Each(2));
}

TEST_F(FunctionPassTest, StagesAndEvaluationsMayHaveTheirOwn) {
  const Corpus text = corpus();
  RunConfig config = tiny_run(noisy_config());
  config.training.evaluations = "val; strict: strength=4";
  config.training.eval_interval = 100;
  config.training.eval_iters = 1;
  RunConfig second = config;
  second.model.own.number("strength", 0) = 2;
  RunPlan plan;
  plan.stages = {{"first", config, {Budget::Unit::kSteps, 2}, {text}},
                 {"second", second, {Budget::Unit::kSteps, 1}, {text}}};
  SeenCalls seen;
  std::vector<double> trained;
  noisy_trainer(plan, seen).run({});
  for (size_t i = 0; i < seen.strength.size(); ++i)
    if (seen.training[i]) trained.push_back(seen.strength[i]);
  EXPECT_THAT(trained, ElementsAre(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2, 2, 2, 2));
  std::set<double> evaluated;
  for (size_t i = 0; i < seen.strength.size(); ++i)
    if (!seen.training[i]) evaluated.insert(seen.strength[i]);
  EXPECT_THAT(evaluated, ElementsAre(0.5, 2, 4)) << "each stage's val, and what it says itself";
  // What is no matter of one pass is refused, and so is a value out of range.
  EXPECT_THAT(caught([&] { parse_evaluations("a: of_the_model=4", config.model); }).what(),
              HasSubstr("no matter of one pass"));
  EXPECT_THAT(caught([&] { parse_evaluations("a: strength=40", config.model); }).what(),
              HasSubstr("strength"));
}

}  // namespace
}  // namespace fathom::testing
