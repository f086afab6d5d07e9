// Models that answer something else than the next token, and models that are trained on something
// else than the batch that they are given.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/model/depth_model.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

ModelParts parts_of(
    const ModelConfig& config, int64_t vocab_size,
    const std::function<void(DepthPlan&)>& change = [](DepthPlan&) {}) {
  DepthPlan plan = make_depth_plan(config);
  change(plan);
  ParameterSet parameters(parameter_table(plan, config.backbone, vocab_size), 1, at::kCPU);
  return {config,
          vocab_size,
          plan,
          make_policy(config),
          make_supervision(config.supervision, config.backbone.n_layer),
          std::move(parameters),
          {}};
}

// Trained on about half of its targets, drawn anew in each pass, and on a second loss whose count
// is told beforehand or not.
class Dropping : public DepthModel {
 public:
  Dropping(ModelParts parts, bool counts_first)
      : DepthModel(std::move(parts)), counts_first_(counts_first) {}

 protected:
  Batch prepare(const Batch& batch, const Pass& pass) const override {
    const Tensor draws_R1 =
        pass.random.uniform("drop", Rows(batch), 1, parameters().at("position_table.weight"));
    return {batch.tokens_BT,
            batch.targets_BT.masked_fill(draws_R1.view_as(batch.targets_BT).lt(0.5), -1),
            {},
            {},
            {},
            {}};
  }
  void add_losses(const WalkedBatch& walked, const Pass&, ModelOutput& output) const override {
    const Tensor has_target_R = walked.batch.targets_BT.flatten().ge(0);
    const Tensor h_RC = walked.kept.head(walked.trace.readouts().back()->step);
    const Tensor x_R = h_RC.pow(2).mean(1) * has_target_R;
    output.losses.push_back({"size", 0.1 * x_R.sum(), has_target_R.sum().item<double>()});
  }
  void add_counts(const Batch& batch, std::map<std::string, double>& counts) const override {
    if (counts_first_) counts["size"] = batch.targets_BT.ge(0).sum().item<double>();
  }

 private:
  bool counts_first_;
};

// No head: from the state at each position, how many tokens stand before it.
class Headless : public DepthModel {
 public:
  Headless(const ModelConfig& config, int64_t vocab_size)
      : DepthModel(parts_of(config, vocab_size, [](DepthPlan& plan) {
          each_layer(plan, [](LayerSpec& layer) { layer.readout.reset(); });
          plan.answers = "how many tokens stand before";
        })) {}

 protected:
  void add_losses(const WalkedBatch& walked, const Pass&, ModelOutput& output) const override {
    const Tensor error_R = walked.trace.end.r_RC.mean(1) - walked.trace.all->position_R;
    const auto count = double(error_R.numel());
    output.losses.push_back({"squared", error_R.pow(2).sum(), count});
    output.metrics["distance"] = {error_R.abs().sum().item<double>(), count};
  }
};

// No walk at all.
class Average : public Model {
 public:
  explicit Average(std::string best)
      : Model(ParameterSet({{"average", {1}, Part::kOwn, zeros_init(), {}}}, 1, at::kCPU)),
        best_(std::move(best)) {}

  ModelOutput forward(const Batch& batch, const Pass&) const override {
    const Tensor error_BT = parameters_.at("average") - batch.tokens_BT;
    const auto count = double(error_BT.numel());
    ModelOutput output;
    output.losses.push_back({"squared", error_BT.pow(2).sum(), count});
    output.metrics["distance"] = {error_BT.abs().sum().item<double>(), count};
    return output;
  }
  std::map<std::string, double> known_counts(const Batch& batch, const Pass&) const override {
    return {{"squared", double(batch.tokens_BT.numel())}};
  }
  std::string best_metric() const override { return best_; }
  std::string answers() const override { return "the average id"; }

 private:
  std::string best_;
};

// Counts a target too many beforehand.
class Miscounting : public Average {
 public:
  Miscounting() : Average("loss") {}
  std::map<std::string, double> known_counts(const Batch& batch, const Pass& pass) const override {
    return {{"squared", Average::known_counts(batch, pass).at("squared") + 1}};
  }
};

// Learns from what a block gave as well.
class Watching : public DepthModel {
 public:
  Watching(ModelParts parts, std::string name)
      : DepthModel(std::move(parts)), name_(std::move(name)) {}

 protected:
  std::vector<std::string> watch() const override { return {name_}; }
  void add_losses(const WalkedBatch& walked, const Pass&, ModelOutput& output) const override {
    const Tensor x = walked.kept.at(0, name_);
    output.losses.push_back({"small", x.pow(2).sum(), double(x.numel())});
  }

 private:
  std::string name_;
};

// Tells the sum of the slopes of its loss by the state that its head is given.
class TellingSlopes : public DepthModel {
 public:
  explicit TellingSlopes(ModelParts parts) : DepthModel(std::move(parts)) {}
  mutable int told = 0;

 protected:
  void add_losses(const WalkedBatch& walked, const Pass& pass, ModelOutput& output) const override {
    const Tensor h_RC = walked.kept.head(walked.trace.readouts().back()->step);
    if (!pass.training || !at::GradMode::is_enabled()) return;
    h_RC.retain_grad();
    output.after_backward = [this, h_RC] {
      ++told;
      return std::map<std::string, Metric>{{"slope", {h_RC.grad().abs().sum().item<double>(), 1}}};
    };
  }
};

class ModelsTest : public TrainTest {
 protected:
  Trainer trainer_of(const RunConfig& config, std::unique_ptr<Model> model,
                     const std::string& folder = "") {
    if (!corpus_) corpus_ = corpus();
    if (!folder.empty()) std::filesystem::create_directories(folder + "/checkpoints");
    return {config, *corpus_, settled_vocab_size(config, corpus_->vocab_size()), folder,
            std::move(model)};
  }
  std::unique_ptr<Model> dropping(const RunConfig& config, bool counts_first) {
    if (!corpus_) corpus_ = corpus();
    return std::make_unique<Dropping>(parts_of(config.model, corpus_->vocab_size()), counts_first);
  }
};

TEST_F(ModelsTest, LearnFromWhatTheyWatch) {
  const ModelConfig config = untied_config();
  const Batch batch = batch_of(random_tokens({2, 4}, 8, 1), random_tokens({2, 4}, 8, 2));
  Pass pass;
  Watching model(parts_of(config, 8), "a");
  const ModelOutput output = model.forward(batch, pass);
  ASSERT_EQ(output.losses.size(), 2U);
  backward(output.losses[1].sum);
  EXPECT_TRUE(model.parameters().at("attention.0.out.weight").grad().defined());
  EXPECT_FALSE(model.parameters().at("mlp.0.up.weight").grad().defined());
  // Without a gradient it would learn nothing, silently.
  pass.recompute_blocks = true;
  EXPECT_THAT(caught([&] { model.forward(batch, pass); }).what(), HasSubstr("recompute_blocks"));
  EXPECT_NO_THROW(Watching(parts_of(config, 8), "door").forward(batch, pass));
  const at::NoGradGuard no_grad;
  EXPECT_NO_THROW(model.forward(batch, pass));
  EXPECT_THAT(caught([&] { Watching(parts_of(config, 8), "aa").forward(batch, {}); }).what(),
              HasSubstr("\"aa\""));
}

TEST_F(ModelsTest, CountsAreOfTheBatchAsItIsPrepared) {
  const RunConfig config = tiny_run(untied_config());
  const auto model = dropping(config, true);
  const Batch batch = batch_of(random_tokens({6, 8}, 8, 1), random_tokens({6, 8}, 8, 2));
  for (const bool training : {false, true}) {
    const Pass pass = {training, RandomField(3, 4, 5)};
    const auto known = model->known_counts(batch, pass);
    EXPECT_EQ(known.size(), 2U);
    for (const LossPart& part : model->forward(batch, pass).losses) {
      EXPECT_EQ(known.at(part.name), part.count) << part.name;
      EXPECT_LT(part.count, 40);
      EXPECT_GT(part.count, 8);
    }
  }
}

TEST_F(ModelsTest, AStepOnAPreparedBatchDoesNotDependOnItsDivision) {
  for (const bool counts_first : {false, true}) {
    const auto divided = [&](int64_t batch, int64_t accumulated) {
      RunConfig config = tiny_run(untied_config());
      config.optimizer.grad_clip = 0;
      config.data.batch_size = batch;
      config.data.gradient_accumulation_steps = accumulated;
      return first_step(trainer_of(config, dropping(config, counts_first)));
    };
    const StepResult whole = divided(8, 1);
    for (const auto& other : {divided(4, 2), divided(1, 8)}) {
      EXPECT_LE(relative_distance(other.gradient, whole.gradient), 1e-6);
      EXPECT_NEAR(other.report.loss, whole.report.loss, 1e-6 * whole.report.loss);
      EXPECT_NEAR(other.report.objective.value(), whole.report.objective.value(), 1e-6);
    }
    // `loss` is the answer's, whatever is optimised besides.
    EXPECT_GT(*whole.report.objective, whole.report.loss);
  }
}

// Metrics of gradients are asked for once a pass, when its gradients are there.
TEST_F(ModelsTest, MayTellOfGradients) {
  RunConfig config = tiny_run(untied_config());
  corpus_ = corpus();
  const auto told = [&](int64_t batch, int64_t passes) {
    config.data.batch_size = batch;
    config.data.gradient_accumulation_steps = passes;
    auto model = std::make_unique<TellingSlopes>(parts_of(config.model, corpus_->vocab_size()));
    const TellingSlopes& teller = *model;
    Trainer t = trainer_of(config, std::move(model));
    const StepReport report = t.train_step().value();
    EXPECT_EQ(teller.told, passes);
    t.evaluate_now();
    EXPECT_EQ(teller.told, passes) << "an evaluation has no gradients";
    return report.metrics.at("slope");
  };
  const double whole = told(4, 1);
  EXPECT_GT(whole, 0);
  // Each pass tells of its own share, and a metric is the mean over passes.
  EXPECT_NEAR(2 * told(2, 2), whole, 1e-5 * whole);
}

TEST_F(ModelsTest, OneThatCountsOtherwiseThanItTrainsIsCaught) {
  RunConfig config = tiny_run();
  for (const int64_t passes : {1, 3}) {
    config.data.gradient_accumulation_steps = passes;
    Trainer t = trainer_of(config, std::make_unique<Miscounting>());
    const Snapshot before = weights(t.model());
    EXPECT_THAT(error_of([&] { t.train_step(); }),
                HasSubstr("of its loss \"squared\" before the step, and "));
    EXPECT_EQ(weights(t.model()), before);
  }
}

TEST_F(ModelsTest, OneWithoutAHeadIsTrainedAndEvaluated) {
  RunConfig config = tiny_run(untied_config());
  config.training.max_iters = 30;
  if (!corpus_) corpus_ = corpus();
  Trainer t = trainer_of(config, std::make_unique<Headless>(config.model, corpus_->vocab_size()),
                         temp_ / "run");
  EXPECT_FALSE(t.model().parameters().find("head.0.weight").defined());
  EXPECT_EQ(t.model().next_token_model(), nullptr);
  EXPECT_EQ(t.model().answers(), "how many tokens stand before");
  History history;
  t.run(history.events());
  const Evaluation &first = history.evaluations.front().of("val"),
                   &last = history.evaluations.back().of("val");
  EXPECT_LT(last.loss, 0.5 * first.loss);
  EXPECT_FALSE(last.objective) << "the loss is what is optimised";
  EXPECT_EQ(last.metrics.size(), 1U);
  const Error error = caught([&] { last.accuracy(); });
  EXPECT_THAT(error.what(), HasSubstr("tells no \"accuracy\""));
  EXPECT_THAT(error.hint(), HasSubstr("distance, loss"));
  const RunState best = load_state(checkpoint("run", "best"));
  EXPECT_EQ(best.best_metric, "eval/val/loss");
  EXPECT_EQ(best.best_value, history.evaluations.back().best_value);
}

TEST_F(ModelsTest, OneThatIsNoWalkNeedsNothingOfIt) {
  History history;
  Trainer t = trainer_of(tiny_run(), std::make_unique<Average>("distance"), temp_ / "run");
  t.run(history.events());
  EXPECT_EQ(t.state().best_metric, "eval/val/distance");
  double least = HUGE_VAL;
  for (const EvalReport& r : history.evaluations)
    least = std::min(least, r.of("val").metrics.at("distance"));
  EXPECT_EQ(t.state().best_value, least);
  EXPECT_EQ(history.steps.back().metrics.count("accuracy"), 0U);
  Trainer nameless = trainer_of(tiny_run(), std::make_unique<Average>("accuracy"));
  EXPECT_THAT(error_of([&] { nameless.evaluate_now(); }), HasSubstr("tells no \"accuracy\""));
}

TEST_F(ModelsTest, OneThatSeesTheFutureOrAnswersSomethingElseIsNotAskedForTokens) {
  if (!corpus_) corpus_ = corpus();
  const auto made = [&](const std::function<void(DepthPlan&)>& change) {
    return std::make_unique<DepthModel>(parts_of(tied_config(), corpus_->vocab_size(), change));
  };
  const auto plain = made([](DepthPlan&) {});
  EXPECT_EQ(plain->next_token_model(), plain.get());
  EXPECT_EQ(plain->answers(), "the next token");
  EXPECT_EQ(made([](DepthPlan& plan) { plan.causal = false; })->next_token_model(), nullptr);
  EXPECT_EQ(made([](DepthPlan& plan) { plan.answers = "x"; })->next_token_model(), nullptr);
}

}  // namespace
}  // namespace fathom::testing
