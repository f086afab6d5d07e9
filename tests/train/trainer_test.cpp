// The training loop: what a step computes, when it evaluates and saves, and that it learns.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/schedule.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

using ::testing::ElementsAre;

class TrainerTest : public TrainTest {};

TEST_F(TrainerTest, MakesExactlyTheStepsAsked) {
  RunConfig config = tiny_run();
  config.training.max_iters = 7;
  config.schedule.warmup_iters = 2;
  const History history = run(config, "run");
  ASSERT_EQ(history.steps.size(), 7U);
  for (int64_t i = 0; i < 7; ++i) {
    const StepReport& step = history.steps[size_t(i)];
    EXPECT_EQ(step.step, i + 1);
    EXPECT_EQ(step.tokens, 2 * 8);
    EXPECT_EQ(step.learning_rate, learning_rate_at(config, i));
    EXPECT_GT(step.gradient_norm, 0);
    EXPECT_GT(step.seconds, 0);
    // The only loss that this model has.
    EXPECT_FALSE(step.objective) << "it is the loss";
    EXPECT_GE(step.metrics.at("accuracy"), 0);
    EXPECT_EQ(step.metrics.size(), 1U);
  }
  EXPECT_THAT(history.evaluated_at(), ElementsAre(0, 3, 6, 7));
  EXPECT_EQ(load_state(checkpoint("run", "last")).step, 7);
}

// What `describe` says of a token is what a step counts of it.
TEST_F(TrainerTest, AStepTakesWhatIsToldOfItsTokens) {
  for (const char* taught : {"last", "all"})
    for (const char* depth : {"0", "1"}) {
      RunConfig config = tiny_run();
      config.data.gradient_accumulation_steps = 2;
      set_keys(config, {{"loop_groups", "[[1]]"},
                        {"loop_sampling_strategy", "fixed"},
                        {"max_loops", "3"},
                        {"layer_supervision", taught},
                        {"loops_backprop_depth", depth}});
      Trainer trained = trainer(config);
      const StepReport step = trained.train_step().value();
      EXPECT_EQ(step.flops, static_cast<double>(step.tokens) *
                                flops_per_token(config.model, corpus_->vocab_size(), 8).training())
          << taught << " " << depth;
    }
}

TEST_F(TrainerTest, EvaluatesTheEndOnce) {
  EXPECT_THAT(run(tiny_run()).evaluated_at(), ElementsAre(0, 3, 6));
}

TEST_F(TrainerTest, EvalOnlyEvaluatesOnce) {
  RunConfig config = tiny_run();
  config.training.eval_only = true;
  const History history = run(config);
  EXPECT_TRUE(history.steps.empty());
  EXPECT_THAT(history.evaluated_at(), ElementsAre(0));
}

TEST_F(TrainerTest, SavesLastBeforeEachEvaluationAndBestAfterIt) {
  RunConfig config = tiny_run();
  config.optimizer.learning_rate = 0.03;
  config.training.max_iters = 60;
  config.training.eval_interval = 5;
  config.training.eval_iters = 10;
  History history;
  TrainerEvents events = history.events();
  double least = std::numeric_limits<double>::infinity();
  int64_t best_step = 0;
  events.evaluation = [&](const EvalReport& r) {
    EXPECT_EQ(r.best, r.of("val").loss < least);
    if (r.best) least = r.of("val").loss, best_step = r.step;
    EXPECT_EQ(r.best_value, least);
    if (r.step == 0) {  // nothing of a run is there before its first step
      EXPECT_FALSE(std::filesystem::exists(checkpoint("run", "last")));
      return;
    }
    EXPECT_EQ(load_state(checkpoint("run", "last")).step, r.step);
    EXPECT_EQ(load_state(checkpoint("run", "best")).step, best_step);
  };
  events.step = [&](const StepReport& r) {
    if (r.step == 1) {
      EXPECT_EQ(load_state(checkpoint("run", "last")).step, 0);
    }
  };
  trainer(config, temp_ / "run").run(events);
  const RunState best = load_state(checkpoint("run", "best"));
  EXPECT_EQ(best.best_value, least);
  EXPECT_EQ(best.best_metric, "eval/val/loss");
  EXPECT_GT(best_step, 0);
  EXPECT_LT(best_step, 60) << "the case is pointless if the last is the best";
}

TEST_F(TrainerTest, AStepDoesNotDependOnItsDivision) {
  RunConfig config = tiny_run(untied_config());
  config.model.backbone.dropout = 0.2;
  config.optimizer.grad_clip = 0;
  const auto divided = [&](int64_t batch, int64_t accumulated, std::optional<int64_t> mini) {
    config.data.batch_size = batch;
    config.data.gradient_accumulation_steps = accumulated;
    config.data.mini_batch_size = mini;
    EXPECT_EQ(config.sequences_per_step(), 8);
    return first_step(trainer(config));
  };
  const StepResult whole = divided(8, 1, {});
  const auto expect_same = [&](const StepResult& other) {
    EXPECT_LE(relative_distance(other.gradient, whole.gradient), 1e-6);
    EXPECT_NEAR(other.report.loss, whole.report.loss, 1e-6 * whole.report.loss);
    for (const auto& [name, value] : whole.report.metrics)
      EXPECT_NEAR(other.report.metrics.at(name), value, 1e-6) << name;
  };
  expect_same(divided(4, 2, {}));
  expect_same(divided(1, 8, {}));
  expect_same(divided(8, 1, 4));
  expect_same(divided(8, 1, 3));   // 3, 3 and 2
  expect_same(divided(8, 1, 20));  // larger than the batch
}

TEST_F(TrainerTest, EveryParameterMovesWithAndWithoutDecay) {
  for (const DecayRule rule : {DecayRule::kMatrices, DecayRule::kMlpAndHead})
    for (const double decay : {0.0, 0.1})
      for (const ModelConfig& model : {tied_config(), untied_config()}) {
        RunConfig config = tiny_run(model);
        config.optimizer.weight_decay = decay;
        config.optimizer.decay_rule = rule;
        Trainer t = trainer(config);
        const Snapshot before = weights(t.model());
        t.train_step();
        for (const auto& [name, values] : weights(t.model()))
          EXPECT_NE(values, before.at(name)) << name << ", weight decay " << decay;
      }
}

TEST_F(TrainerTest, ClipsTheGradientThatItReports) {
  RunConfig config = tiny_run();
  config.optimizer.grad_clip = 0.01;
  config.optimizer.weight_decay = 0;
  config.optimizer.adam_eps = 1;  // the first update is then lr * g / (|g| + 1)
  Trainer t = trainer(config);
  std::vector<Tensor> before;
  for (const Tensor& p : tensors_of(t.model())) before.push_back(p.detach().clone());
  const StepReport report = t.train_step().value();
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i)
    squares += std::pow((tensors_of(t.model())[i].detach() - before[i]).norm().item<double>(), 2);
  EXPECT_GT(report.gradient_norm, 0.02);
  EXPECT_NEAR(std::sqrt(squares) / report.learning_rate, 0.01, 2e-4);
}

TEST_F(TrainerTest, StopsBeforeADamagedStep) {
  Trainer t = trainer(tiny_run());
  t.train_step();
  {
    const at::NoGradGuard no_grad;
    Tensor w = t.model().parameters().at("mlp.1.up.weight");
    w.select(0, 0).fill_(std::numeric_limits<double>::quiet_NaN());
  }
  std::vector<Tensor> before;
  for (const Tensor& p : tensors_of(t.model())) before.push_back(p.detach().clone());
  EXPECT_THAT(error_of([&] { t.train_step(); }), HasSubstr("not finite"));
  EXPECT_EQ(t.state().step, 1);
  for (size_t i = 0; i < before.size(); ++i) {
    const Tensor now = tensors_of(t.model())[i].detach();
    // nan_to_num: a NaN is not equal to itself.
    EXPECT_TRUE(same_bits(now.nan_to_num(7), before[i].nan_to_num(7)));
  }
}

TEST_F(TrainerTest, ADivergedRunKeepsItsLastCheckpoint) {
  RunConfig config = tiny_run();
  config.optimizer.learning_rate = 1e30;
  config.training.eval_interval = 1;
  History history;
  Trainer t = trainer(config, temp_ / "run");
  EXPECT_THAT(error_of([&] { t.run(history.events()); }), HasSubstr("not finite"));
  const LoadedModel last = load_model(checkpoint("run", "last"), at::kCPU);
  EXPECT_EQ(last.state.step, static_cast<int64_t>(history.steps.size()));
  EXPECT_EQ(last.state.step, t.state().step);
  EXPECT_GE(last.state.step, 1);
  EXPECT_EQ(weights(*last.model), weights(t.model()));
}

TEST_F(TrainerTest, OverfitsASmallText) {
  // Round and round: after one letter the next is known, but for the four a's, which take two.
  const std::string period = "abacadaefghijklm";
  std::string text;
  for (int i = 0; i < 30; ++i) text += period;
  corpus_ = corpus(text);
  RunConfig config = tiny_run();
  config.model.backbone.n_embd = 32;
  config.model.backbone.block_size = 16;
  config.data.batch_size = 4;
  config.schedule.decay_lr = false;
  config.training.max_iters = config.training.eval_interval = 150;
  config.training.eval_iters = 10;
  const History history = run(config);
  EXPECT_GT(history.evaluations.front().of("train").loss, 2.0);
  EXPECT_LT(history.evaluations.back().of("train").loss, 0.1);
  EXPECT_LT(history.evaluations.back().of("val").loss, 0.1);
  EXPECT_GT(history.evaluations.back().of("val").accuracy(), 0.95);
}

TEST_F(TrainerTest, TwoRunsAreTheSameBytes) {
  for (const int threads : {1, 2}) {
    set_threads(threads);
    RunConfig config = tiny_run(untied_config());
    config.model.backbone.dropout = 0.1;
    const History one = run(config, "one"), two = run(config, "two");
    for (size_t i = 0; i < one.steps.size(); ++i) EXPECT_EQ(one.steps[i].loss, two.steps[i].loss);
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      EXPECT_EQ(slurp(checkpoint("one", "last") + "/" + file),
                slurp(checkpoint("two", "last") + "/" + file))
          << file << ", threads " << threads;
  }
  set_threads(1);
}

TEST_F(TrainerTest, NarrowPrecisionStaysClose) {
  RunConfig config = tiny_run();
  const double exact = first_step(trainer(config)).report.loss;
  config.training.dtype = Precision::kBFloat16;
  Trainer narrow = trainer(config);
  const double loss = narrow.train_step()->loss;
  EXPECT_NE(loss, exact);
  EXPECT_NEAR(loss, exact, 0.01 * exact);
  for (const Tensor& p : tensors_of(narrow.model())) {
    EXPECT_EQ(p.scalar_type(), at::kFloat);
    EXPECT_EQ(p.grad().scalar_type(), at::kFloat);
  }
  config.training.dtype = Precision::kFloat16;
  const Error error = caught([&] { trainer(config); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("float16"));
}

// Evaluation.

// Batches of different sizes in turn, some without a single target.
class GivenBatches : public DataSet {
 public:
  explicit GivenBatches(std::vector<TokenBatch> batches) : batches_(std::move(batches)) {}
  Drawn next(const Cursor& cursor) const override {
    return {batches_.at(size_t(cursor["batch"])), {{"batch", cursor["batch"] + 1}}};
  }

 private:
  std::vector<TokenBatch> batches_;
};

TEST(Evaluate, IsTheMeanOverTargetsWithItsStandardError) {
  const int64_t V = 11;
  const auto model = model_of(tied_config(), V);
  std::vector<TokenBatch> batches = {
      {1, 4, {1, 2, 3, 4}, {2, 3, -1, -1}, {}},
      {2, 3, {5, 6, 7, 8, 9, 10}, {6, -1, 8, 9, 10, 0}, {}},
      {1, 2, {1, 1}, {-1, -1}, {}},
      {1, 1, {3}, {3}, {}},
  };
  double sum = 0, count = 0, correct = 0;
  std::vector<std::pair<double, double>> by_sequence;  // sum, targets
  for (const TokenBatch& b : batches) {
    const std::vector<double> scores =
        numbers(model->logits(to_batch(b, at::kCPU).tokens_BT).log_softmax(-1));
    for (size_t i = 0; i < b.targets.size(); ++i) {
      if (i % size_t(b.T) == 0) by_sequence.push_back({0, 0});
      if (b.targets[i] < 0) continue;
      const auto row = scores.begin() + int64_t(i) * V;
      by_sequence.back().first -= row[b.targets[i]];
      correct += std::max_element(row, row + V) - row == b.targets[i];
      ++by_sequence.back().second;
    }
  }
  for (const auto& [of_sequence, n] : by_sequence) sum += of_sequence, count += n;
  double squares = 0;
  for (const auto& [of_sequence, n] : by_sequence)
    squares += std::pow((of_sequence - n * sum / count) / count, 2);

  const auto evaluated = [&](std::vector<TokenBatch> some) {
    const auto k = static_cast<int64_t>(some.size());
    return evaluate(*model, GivenBatches(std::move(some)), k, at::kCPU, Precision::kFloat32);
  };
  const Evaluation e = evaluated(batches);
  EXPECT_NEAR(e.loss, sum / count, 1e-6);
  EXPECT_EQ(e.targets, count);
  EXPECT_NEAR(e.accuracy(), correct / count, 1e-12);
  EXPECT_FALSE(e.objective);
  EXPECT_EQ(e.metrics.size(), 1U);
  EXPECT_EQ(e.value("loss"), e.loss);
  EXPECT_EQ(e.value("accuracy"), e.accuracy());
  EXPECT_NEAR(e.standard_error, std::sqrt(squares * 4 / 3), 1e-5) << "four sequences have targets";
  EXPECT_TRUE(std::isnan(evaluated({batches[0]}).standard_error)) << "one sequence has no spread";
  EXPECT_TRUE(std::isnan(evaluated({batches[0], batches[2]}).standard_error)) << "nor has this";
  EXPECT_NEAR(evaluated({batches[0], batches[0], batches[0]}).standard_error, 0.0, 1e-6);
}

TEST(ToBatch, NamesWhatTheTokensAre) {
  TokenBatch tokens = {2, 3, {1, 2, 3, 4, 5, 0}, {2, -1, 4, 5, -1, -1}, {}};
  Batch batch = to_batch(tokens, at::kCPU);
  EXPECT_TRUE(same_bits(batch.tokens_BT, tensor_of({1, 2, 3, 4, 5, 0}, {2, 3}).to(at::kLong)));
  EXPECT_TRUE(same_bits(batch.targets_BT, tensor_of({2, -1, 4, 5, -1, -1}, {2, 3}).to(at::kLong)));
  for (const Tensor& other : {batch.weight_BT, batch.valid_BT, batch.segment_BT, batch.position_BT})
    EXPECT_FALSE(other.defined());
  tokens.per_token("valid") = {1, 1, 1, 1, 1, 0};
  batch = to_batch(tokens, at::kCPU);
  EXPECT_TRUE(same_bits(batch.valid_BT, tensor_of({1, 1, 1, 1, 1, 0}, {2, 3}).to(at::kBool)));
}

TEST(Evaluate, WhereThereIsNoTokenNothingIsCounted) {
  const auto model = model_of(exit_config(0.2), 11);
  const auto evaluated = [&](TokenBatch batch) {
    return evaluate(*model, GivenBatches({std::move(batch)}), 1, at::kCPU, Precision::kFloat32);
  };
  const Evaluation bare = evaluated({1, 3, {1, 2, 3}, {2, -1, 4}, {}});
  const Evaluation filled = evaluated(
      {1, 5, {1, 2, 3, 0, 0}, {2, -1, 4, -1, -1}, {{"valid", WholeNumbers{1, 1, 1, 0, 0}}}});
  EXPECT_EQ(filled.targets, 2);
  EXPECT_NEAR(filled.loss, bare.loss, 1e-6);
  for (const auto& [name, value] : bare.metrics)
    EXPECT_NEAR(filled.metrics.at(name), value, 1e-6) << name;
}

TEST(Evaluate, TheErrorDoesNotDependOnHowSequencesAreBatched) {
  const auto model = model_of(exit_config(0.2), 11);
  const std::vector<int64_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1};
  const std::vector<int64_t> targets = {2, 3, -1, 5, 6, 7, 8, -1, -1, 0, 1, 2};
  std::vector<double> errors;
  for (const int64_t B : {1, 2, 4}) {
    std::vector<TokenBatch> batches;
    for (int64_t i = 0; i < 12; i += 3 * B)
      batches.push_back({B,
                         3,
                         {&tokens[size_t(i)], &tokens[size_t(i)] + 3 * B},
                         {&targets[size_t(i)], &targets[size_t(i)] + 3 * B},
                         {}});
    const auto k = static_cast<int64_t>(batches.size());
    errors.push_back(
        evaluate(*model, GivenBatches(batches), k, at::kCPU, Precision::kFloat32).standard_error);
  }
  EXPECT_GT(errors[0], 0);
  EXPECT_NEAR(errors[1], errors[0], 1e-6);
  EXPECT_NEAR(errors[2], errors[0], 1e-6);
}

// Two policies on the same sequences: what both find hard is in neither's difference.
TEST(Evaluate, DifferencesArePairedBySequence) {
  const auto model = model_of(exit_config(0.2), 11);
  const GivenBatches batches(
      {{3, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {2, 3, -1, 5, 6, 7, 8, 9, 10}, {}},
       {1, 3, {3, 1, 2}, {-1, -1, -1}, {}}});
  const Evaluation e = evaluate(*model, batches, 2, at::kCPU, Precision::kFloat32);
  ASSERT_EQ(e.deviations.size(), 3U) << "one sequence has no target";
  EXPECT_EQ(e.tokens, 12);
  EXPECT_GT(e.flops, 0);
  double squares = 0;
  for (const double d : e.deviations) squares += d * d;
  EXPECT_NEAR(e.standard_error, std::sqrt(squares * 3 / 2), 1e-12);
  EXPECT_EQ(paired_error(e, e), 0);
  Evaluation other = e;
  for (double& d : other.deviations) d += 0.5;
  EXPECT_NEAR(paired_error(other, e), std::sqrt(3 * 0.25 * 3 / 2), 1e-12);
  other.deviations.pop_back();
  EXPECT_TRUE(std::isnan(paired_error(other, e))) << "of other sequences";
  EXPECT_TRUE(std::isnan(paired_error({}, {})));
}

TEST_F(TrainerTest, StandardErrorIsTheSpreadOfRepeatedEvaluations) {
  Trainer t = trainer(tiny_run(untied_config()));
  double mean = 0, squares = 0, claimed = 0;
  const int repeats = 200;
  for (int i = 0; i < repeats; ++i) {
    const RandomWindows source(*corpus_, "train", 2, 8, unsigned(i));
    const Evaluation e = evaluate(t.model(), source, 10, at::kCPU, Precision::kFloat32);
    mean += e.loss / repeats;
    squares += e.loss * e.loss / repeats;
    claimed += e.standard_error / repeats;
  }
  const double spread = std::sqrt(squares - mean * mean);
  EXPECT_NEAR(claimed / spread, 1.0, 0.2);
}

}  // namespace
}  // namespace fathom::testing
