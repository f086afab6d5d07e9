// Training and evaluating models whose layers all answer: what is reported about the layers, and
// that no objective depends on how a step is divided.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "fathom/train/recipe/registry.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

constexpr double kThreshold = 0.25;  // about half of the letters halt at once

// Eight sequences a step.
RunConfig exit_run(const ChoiceOrList& supervision, double threshold = kThreshold) {
  ModelConfig model = exit_config(threshold);
  model.supervision.layer_supervision = supervision;
  RunConfig config = tiny_run(model);
  config.data.batch_size = 8;
  config.optimizer.grad_clip = 0;
  return config;
}

RunConfig skip_easy_run(SkipEasyWeight weight, double threshold = kThreshold) {
  RunConfig config = exit_run({"skip_easy", {}}, threshold);
  config.model.supervision.skip_easy_weight = weight;
  return config;
}

class LayersTest : public TrainTest {
 protected:
  StepResult divided(RunConfig config, int64_t batch, int64_t accumulated,
                     std::optional<int64_t> mini = {}) {
    config.data.batch_size = batch;
    config.data.gradient_accumulation_steps = accumulated;
    config.data.mini_batch_size = mini;
    EXPECT_EQ(config.sequences_per_step(), 8);
    return first_step(trainer(config));
  }
};

void expect_same(const StepResult& actual, const StepResult& expected) {
  EXPECT_LE(relative_distance(actual.gradient, expected.gradient), 1e-6);
  EXPECT_NEAR(actual.report.loss, expected.report.loss, 1e-6 * expected.report.loss);
  ASSERT_EQ(actual.report.objective.has_value(), expected.report.objective.has_value());
  EXPECT_NEAR(actual.report.objective.value_or(0), expected.report.objective.value_or(0), 1e-6);
  EXPECT_EQ(actual.report.metrics.size(), expected.report.metrics.size());
  for (const auto& [name, value] : expected.report.metrics)
    EXPECT_NEAR(actual.report.metrics.at(name), value, 1e-6) << name;
}

// What holds between the metrics of two layers, whatever they are.
void expect_consistent(const std::map<std::string, double>& m) {
  const std::vector<double> rate = {m.at("exit_rate/0"), m.at("exit_rate/1")};
  EXPECT_NEAR(rate[0] + rate[1], 1, 1e-12);
  EXPECT_NEAR(m.at("exit_correct/0") + m.at("exit_correct/1"), m.at("accuracy"), 1e-12);
  for (const size_t i : {0, 1})
    EXPECT_LE(m.at("exit_correct/" + std::to_string(i)), rate[i] + 1e-12) << i;
  EXPECT_NEAR(m.at("exit_confident_last") + m.at("exit_fallback"), rate[1], 1e-12);
  EXPECT_NEAR(m.at("exit_depth"), rate[0] + 2 * rate[1], 1e-12);
  for (const char* name : {"infer", "layer_loss/0", "layer_loss/1"}) EXPECT_GT(m.at(name), 0);
  for (const char* name : {"layer_accuracy/0", "layer_accuracy/1"}) {
    EXPECT_GE(m.at(name), 0);
    EXPECT_LE(m.at(name), 1);
  }
  EXPECT_NEAR(m.at("earlystop"), rate[0], 1e-12);
  EXPECT_EQ(m.size(), 14U) << "a metric is not tested";
}

TEST_F(LayersTest, StepsAndEvaluationsSayWhatEachLayerDid) {
  const History history = run(exit_run({"all", {}}), "run");
  for (const StepReport& step : history.steps) {
    expect_consistent(step.metrics);
    EXPECT_NEAR(step.loss, step.metrics.at("layer_loss/1"), 1e-6) << "of the last layer";
    EXPECT_NEAR(step.objective.value(),
                (step.metrics.at("layer_loss/0") + step.metrics.at("layer_loss/1")) / 2, 1e-6);
  }
  double least = std::numeric_limits<double>::infinity();
  ASSERT_EQ(history.evaluations.size(), 3U);
  for (const EvalReport& r : history.evaluations) {
    for (const Evaluation* e : {&r.of("train"), &r.of("val")}) {
      expect_consistent(e->metrics);
      EXPECT_NEAR(e->loss, e->value("layer_loss/1"), 1e-6);
      EXPECT_NEAR(e->objective.value(), (e->value("layer_loss/0") + e->value("layer_loss/1")) / 2,
                  1e-6);
      EXPECT_EQ(e->value("objective"), *e->objective);
      EXPECT_EQ(e->accuracy(), e->value("accuracy"));
    }
    // The best is the one whose answers are best, whatever is optimised.
    EXPECT_EQ(r.best, r.of("val").loss < least);
    least = std::min(least, r.of("val").loss);
    EXPECT_EQ(r.best_value, least);
  }
  const Evaluation& fresh = history.evaluations.front().of("val");
  EXPECT_GT(fresh.value("exit_rate/0"), 0.1);
  EXPECT_GT(fresh.value("exit_rate/1"), 0.1);
  const RunState best = load_state(checkpoint("run", "best"));
  EXPECT_EQ(best.best_metric, "eval/val/loss");
  EXPECT_EQ(best.best_value, least);
}

TEST_F(LayersTest, AStepDoesNotDependOnItsDivision) {
  std::vector<RunConfig> configs = {exit_run({"last", {}}), exit_run({"all", {}}),
                                    exit_run({"", {0.5, 2}}), skip_easy_run(SkipEasyWeight::kToken),
                                    skip_easy_run(SkipEasyWeight::kLayer)};
  configs[2].model.supervision.reduce = SupervisionReduce::kSum;
  std::vector<std::vector<double>> gradients;
  for (RunConfig& config : configs) {
    SCOPED_TRACE(gradients.size());
    config.model.backbone.dropout = 0.2;
    const StepResult whole = divided(config, 8, 1);
    expect_consistent(whole.report.metrics);
    EXPECT_GT(whole.report.metrics.at("exit_rate/0"), 0.2);
    EXPECT_LT(whole.report.metrics.at("exit_rate/0"), 0.8);
    expect_same(divided(config, 4, 2), whole);
    expect_same(divided(config, 2, 4), whole);
    expect_same(divided(config, 1, 8), whole);
    expect_same(divided(config, 8, 1, 3), whole);  // 3, 3 and 2
    // The case is pointless if two objectives are one.
    for (const auto& other : gradients) EXPECT_GT(relative_distance(whole.gradient, other), 0.01);
    gradients.push_back(whole.gradient);
  }
}

// Nobody knows beforehand how many tokens a layer will be asked about, and here most passes ask the
// last layer about none.
TEST_F(LayersTest, ARareTargetWeighsTheSameInAnyDivision) {
  RunConfig config = skip_easy_run(SkipEasyWeight::kLayer, 0.2);
  config.model.backbone.block_size = 2;
  config.model.backbone.dropout = 0.3;
  const StepResult whole = divided(config, 8, 1);
  const double asked = 1 - whole.report.metrics.at("exit_rate/0");
  EXPECT_GT(asked, 0);
  EXPECT_LT(asked, 0.3);
  expect_same(divided(config, 1, 8), whole);
  expect_same(divided(config, 2, 4), whole);
  expect_same(divided(config, 8, 1, 3), whole);
  config.training.recompute_blocks = true;
  expect_same(divided(config, 1, 8), whole);
}

// Typed as `papingo --batch_size=8 --block_size=2 --halt_threshold=...`: the loss of a step
// was 3.13 in one pass and 5.54 in eight while each pass had means of its own.
TEST_F(LayersTest, APresetThatSkipsEasyTokensIsTheSameInAnyDivision) {
  RunConfig config = preset_config("papingo");
  config.data.dataset = "tiny";
  config.model.backbone.block_size = 2;
  config.model.supervision.layer_supervision = {"skip_easy", {}};
  config.model.halting.threshold = 0.16;  // between the likeliest letters of eight
  config.optimizer.grad_clip = 0;
  config.training.device = "cpu";
  const StepResult whole = divided(config, 8, 1, 8);
  EXPECT_GT(whole.report.metrics.at("exit_rate/0"), 0.1);
  EXPECT_LT(whole.report.metrics.at("exit_rate/0"), 0.9);
  for (const int64_t mini : {1, 3}) {
    const StepResult split = divided(config, 8, 1, mini);
    EXPECT_LE(relative_distance(split.gradient, whole.gradient), 1e-5);
    EXPECT_NEAR(split.report.loss, whole.report.loss, 1e-5);
    EXPECT_NEAR(split.report.objective.value(), whole.report.objective.value(), 1e-5);
  }
}

TEST_F(LayersTest, AStepWeightedByLayerRuns) {
  const RunConfig config = skip_easy_run(SkipEasyWeight::kLayer);
  const StepResult whole = divided(config, 8, 1);
  // By token, the tokens that are left weigh less than a layer of them.
  EXPECT_GT(relative_distance(whole.gradient,
                              divided(skip_easy_run(SkipEasyWeight::kToken), 8, 1).gradient),
            0.01);
  EXPECT_EQ(run(config).evaluated_at().size(), 3U);
}

TEST_F(LayersTest, EveryParameterMoves) {
  RunConfig config = exit_run({"all", {}});
  config.model.early_exit.layer_widths = {8, 16};
  config.model.early_exit.gate_mode = GateMode::kLearned;
  Trainer t = trainer(config);
  const Snapshot before = weights(t.model());
  t.train_step();
  EXPECT_EQ(before.count("gate.1.weight"), 1U);
  for (const auto& [name, values] : weights(t.model())) EXPECT_NE(values, before.at(name)) << name;
}

TEST_F(LayersTest, WithoutAnEasyTokenNoneIsSkipped) {
  const StepResult all = divided(exit_run({"all", {}}, 1.1), 4, 2);
  for (const SkipEasyWeight weight : {SkipEasyWeight::kLayer, SkipEasyWeight::kToken})
    expect_same(divided(skip_easy_run(weight, 1.1), 4, 2), all);
}

TEST_F(LayersTest, WhereEveryTokenIsEasyLaterLayersLearnNothing) {
  for (const SkipEasyWeight weight : {SkipEasyWeight::kLayer, SkipEasyWeight::kToken}) {
    RunConfig config = skip_easy_run(weight, 0);
    config.data.batch_size = 4;
    config.data.gradient_accumulation_steps = 2;
    Trainer t = trainer(config);
    const StepReport report = t.train_step().value();
    EXPECT_EQ(report.metrics.at("exit_rate/0"), 1);
    // A mean of two layers, one of which has nothing to say.
    EXPECT_NEAR(report.objective.value(), report.metrics.at("layer_loss/0") / 2, 1e-6);
    const Evaluation val = t.evaluate_now().of("val");
    EXPECT_NEAR(val.objective.value(), val.value("layer_loss/0") / 2, 1e-6);
    const auto moves = [&](const std::string& name) {
      const Tensor gradient = t.model().parameters().at(name).grad();
      return gradient.defined() && gradient.abs().max().item<double>() > 0;
    };
    for (const char* part : {"attention.%.qkv.weight", "mlp.%.up.weight", "head.%.weight",
                             "token_table.%.weight", "norm_out.%.weight"})
      for (const char* layer : {"0", "1"}) {
        std::string name = part;
        name.replace(name.find('%'), 1, layer);
        EXPECT_EQ(moves(name), layer[0] == '0') << name;
      }
  }
}

TEST_F(LayersTest, AnEvaluationDoesNotDependOnItsDivision) {
  for (const RunConfig& config : {exit_run({"all", {}}), skip_easy_run(SkipEasyWeight::kLayer),
                                  skip_easy_run(SkipEasyWeight::kToken)}) {
    Trainer t = trainer(config);
    const auto evaluated = [&](int64_t B) {
      return evaluate(t.model(), RandomWindows(*corpus_, "train", B, 8, 1), 24 / B, at::kCPU,
                      Precision::kFloat32);
    };
    const Evaluation whole = evaluated(24);
    EXPECT_EQ(whole.targets, 24 * 8);
    const RandomWindows windows(*corpus_, "train", 24, 8, 1);
    const Batch batch = to_batch(windows.next(windows.start()).batch, at::kCPU);
    double objective = 0;
    for (const LossPart& part : t.model().forward(batch, {}).losses)
      objective += part.sum.item<double>() / part.count;
    EXPECT_NEAR(whole.objective.value(), objective, 1e-6);
    EXPECT_NEAR(whole.loss, whole.value("layer_loss/1"), 1e-6);
    EXPECT_GT(whole.standard_error, 0);
    expect_consistent(whole.metrics);
    for (const int64_t B : {1, 3, 8}) {
      const Evaluation parts = evaluated(B);
      EXPECT_EQ(parts.targets, whole.targets);
      EXPECT_NEAR(parts.loss, whole.loss, 1e-6);
      EXPECT_NEAR(parts.objective.value(), *whole.objective, 1e-6);
      EXPECT_NEAR(parts.standard_error, whole.standard_error, 1e-6);
      EXPECT_EQ(parts.metrics.size(), whole.metrics.size());
      for (const auto& [name, value] : whole.metrics)
        EXPECT_NEAR(parts.metrics.at(name), value, 1e-6) << name;
    }
  }
}

TEST_F(LayersTest, WhatIsLearnedIsAnsweredByTheFirstLayer) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "abcdefghijklmnop";
  corpus_ = corpus(text);
  RunConfig config = exit_run({"all", {}}, 0.9);
  config.schedule.decay_lr = false;
  config.training.max_iters = config.training.eval_interval = 100;
  const History history = run(config);
  EXPECT_LT(history.evaluations.front().of("val").value("exit_rate/0"), 0.2);
  const Evaluation& end = history.evaluations.back().of("val");
  EXPECT_GT(end.value("exit_rate/0"), 0.95);
  EXPECT_LT(end.value("infer"), 0.1);
  EXPECT_GT(end.accuracy(), 0.95);
}

// An evaluation may be of another policy than training's: the weights are the same.
TEST_F(LayersTest, AnEvaluationHasThresholdsOfItsOwn) {
  RunConfig config = tiny_run(exit_config(0.3));
  config.training.max_iters = 2;
  config.training.evaluations =
      "at_once: halt_threshold=0; never: halt_threshold=2; val; one: split=train, batches=1";
  Trainer t = trainer(config);
  const EvalReport r = t.evaluate_now();
  EXPECT_EQ(r.of("at_once").value("exit_rate/0"), 1);
  EXPECT_EQ(r.of("never").value("exit_rate/0"), 0);
  EXPECT_EQ(r.of("one").targets, 2 * 8);
  EXPECT_EQ(r.best_metric, "eval/at_once/loss") << "the first one of val decides";
  RunConfig other = config;
  other.model.halting.threshold = 2;
  other.training.evaluations = "val";
  Trainer strict = trainer(other);
  EXPECT_EQ(strict.evaluate_now().of("val").loss, r.of("never").loss) << "as a model made so";
  EXPECT_THAT(caught([&] { r.of("test"); }).hint(), HasSubstr("at_once, never, val, one"));
}

// Sums over rows, means of single layers, and functions of means over the whole step.
TEST_F(LayersTest, AnObjectiveDoesNotDependOnHowAStepIsDivided) {
  for (const char* objective :
       {"conf_2", "conf_3", "conf_5", "conf_6_1", "expected", "last_penalty", "prevnext_token",
        "no_target", "skip_easy",
        "loss = ce; x = ln(1 - mean(p_max*asked))*mean(ce) [layers=all, per=asked]",
        "loss = ce [layers=all, per=halts]; x = p_max [layers=all, per=answers]"}) {
    SCOPED_TRACE(objective);
    RunConfig config = exit_run({"last", {}});
    config.model.supervision.objective = objective;
    const StepResult whole = divided(config, 8, 1);
    for (const auto& [batch, accumulated] : {std::pair{4, 2}, {1, 8}}) {
      const StepResult other = divided(config, batch, accumulated);
      EXPECT_LE(relative_distance(other.gradient, whole.gradient), 1e-5);
      EXPECT_NEAR(other.report.loss, whole.report.loss, 1e-5);
      EXPECT_NEAR(other.report.objective.value(), whole.report.objective.value(), 1e-5);
      double sum = 0;
      ASSERT_EQ(other.report.parts.size(), whole.report.parts.size());
      for (const auto& [name, value] : whole.report.parts) {
        EXPECT_NEAR(other.report.parts.at(name), value, 1e-5 * std::max(1.0, std::abs(value)))
            << name;
        sum += value;
      }
      EXPECT_NEAR(sum, whole.report.objective.value(), 1e-5);
    }
  }
}

// ... and not over what else has a target.
TEST_F(LayersTest, AMeanOverChosenRowsIsOverThose) {
  for (const std::string per : {"asked", "halts", "survives", "answers"}) {
    SCOPED_TRACE(per);
    const auto objective_of = [&](const std::string& value) {
      RunConfig config = exit_run({"last", {}});
      config.model.supervision.objective = "loss = " + value + " [layers=all, per=" + per + "]";
      return divided(config, 8, 1);
    };
    const StepResult rows = objective_of("ce"), means = objective_of("mean(ce)");
    EXPECT_GT(rows.report.objective.value(), 0);
    EXPECT_NEAR(rows.report.objective.value(), means.report.objective.value(), 1e-5);
    EXPECT_LE(relative_distance(rows.gradient, means.gradient), 1e-5);
  }
}

TEST_F(LayersTest, AClippedStepIsTold) {
  RunConfig config = exit_run({"all", {}});
  EXPECT_FALSE(divided(config, 8, 1).report.clipped);
  config.optimizer.grad_clip = 1e-3;
  EXPECT_TRUE(divided(config, 8, 1).report.clipped);
  config.optimizer.grad_clip = 1e6;
  EXPECT_FALSE(divided(config, 8, 1).report.clipped);
}

}  // namespace
}  // namespace fathom::testing
