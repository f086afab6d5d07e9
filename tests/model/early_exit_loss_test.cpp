// What layers that answer are trained on and measured by: losses worked out by hand, metrics
// counted again from the logits, gradients against differences.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "fathom/model/depth_model.h"
#include "fathom/ops/plain.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

constexpr int64_t kEarlyExitLossVocab = 11;
constexpr auto kMean = SupervisionReduce::kMean, kSum = SupervisionReduce::kSum;
constexpr auto kLayer = SkipEasyWeight::kLayer, kToken = SkipEasyWeight::kToken;
const ChoiceOrList kAll = {"all", {}}, kLast = {"last", {}}, kSkip = {"skip_easy", {}};
constexpr double kTight = 1e-13;
const double kBit = std::log(2.0);
const Pass kTraining = {true, RandomField(0, 0, 0)};

// What the trainer minimises on one batch.
Tensor objective(const ModelOutput& output) {
  Tensor sum;
  for (const LossPart& part : output.losses)
    if (part.count > 0) {
      const Tensor mean = part.sum / part.count;
      sum = sum.defined() ? sum + mean : mean;
    }
  return sum;
}

double metric(const ModelOutput& output, const std::string& name) {
  const Metric m = output.metrics.at(name);
  return m.sum / m.count;
}

// ---- By hand

// Three layers that say the same of every token: -log2 of the probabilities of ids 0 to 3.
const std::vector<std::vector<double>> kBits = {{1, 2, 3, 3}, {3, 3, 2, 1}, {2, 2, 2, 2}};

std::unique_ptr<NextTokenModel> toy(const ModelConfig& config) {
  auto model = model_of(config, 4, at::kDouble);
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < 3; ++i) {
    const std::string layer = std::to_string(i);
    model->parameters().at("norm_out." + layer + ".weight").zero_();
    model->parameters().at("head." + layer + ".bias").copy_(tensor_of(kBits[i], {4}) * -kBit);
  }
  return model;
}

// Costs in bits: 1, 2, 3, 3, -, 1 at layer 0; 3, 3, 2, 1, -, 3 at layer 1; 2 at layer 2.
Batch toy_batch() {
  return batch_of(random_tokens({1, 6}, 4, 1),
                  tensor_of({0, 1, 2, 3, -1, 0}, {1, 6}).to(at::kLong));
}

// Gold scores are the probabilities of the targets: at 0.2, targets 0 and 1 halt at layer 0, and 2
// and 3 at layer 1; at 0.1 all of them at layer 0.
ModelConfig toy_config(double threshold) {
  ModelConfig config = exit_config(threshold, 3);
  config.halting.rule = HaltRule::kGold;
  return config;
}

double toy_bits(ModelConfig config, const SupervisionConfig& supervision) {
  config.supervision = supervision;
  return objective(toy(config)->forward(toy_batch(), kTraining)).item<double>() / kBit;
}

TEST(EarlyExitLoss, OfEveryKindByHand) {
  for (const double threshold : {0.2, 2.0}) {
    const ModelConfig config = toy_config(threshold);
    const ChoiceOrList weights = {"", {3, 1, 0}};
    EXPECT_NEAR(toy_bits(config, {kLast, kMean, kLayer}), 2, kTight);
    EXPECT_NEAR(toy_bits(config, {kAll, kMean, kLayer}), (2 + 2.4 + 2) / 3, kTight);
    EXPECT_NEAR(toy_bits(config, {kAll, kSum, kLayer}), 2 + 2.4 + 2, kTight);
    EXPECT_NEAR(toy_bits(config, {weights, kMean, kLayer}), (3 * 2 + 2.4) / 4, kTight);
    EXPECT_NEAR(toy_bits(config, {weights, kSum, kLayer}), 3 * 2 + 2.4, kTight);
  }
}

// A layer is not asked about what any layer before it has answered, however long ago.
TEST(EarlyExitLoss, SkippingEasyTokensByHand) {
  for (const MaskHistory history : {MaskHistory::kPrevious, MaskHistory::kCumulative}) {
    ModelConfig config = toy_config(0.2);
    config.halting.mask_history = history;
    // Layer 1 is asked about targets 2 and 3, layer 2 about none.
    EXPECT_NEAR(toy_bits(config, {kSkip, kMean, kLayer}), (2 + 1.5 + 0) / 3, kTight);
    EXPECT_NEAR(toy_bits(config, {kSkip, kSum, kLayer}), 2 + 1.5 + 0, kTight);
    EXPECT_NEAR(toy_bits(config, {kSkip, kMean, kToken}), (10 + 3 + 0) / 5.0 / 3, kTight);
    EXPECT_NEAR(toy_bits(config, {kSkip, kSum, kToken}), (10 + 3 + 0) / 5.0, kTight);
    config.halting.thresholds = {0.3, 0.3, 0.3};  // targets 1 and 2 halt nowhere
    EXPECT_NEAR(toy_bits(config, {kSkip, kMean, kLayer}), (2 + 2 + 2) / 3.0, kTight);
    EXPECT_NEAR(toy_bits(config, {kSkip, kMean, kToken}), (10 + 6 + 4) / 5.0 / 3, kTight);
  }
}

TEST(EarlyExitLoss, ALayerThatIsAskedNothingAddsNothing) {
  for (const SkipEasyWeight weight : {kLayer, kToken}) {
    ModelConfig config = toy_config(0.1);
    config.supervision = {kSkip, kMean, weight};
    const auto model = toy(config);
    const ModelOutput output = model->forward(toy_batch(), kTraining);
    EXPECT_NEAR(objective(output).item<double>() / kBit, 2.0 / 3, kTight);
    backward(objective(output));
    for (const Parameter& p : model->parameters().all()) {
      const Tensor& g = p.tensor.grad();
      const double largest = g.defined() ? g.abs().max().item<double>() : 0;
      EXPECT_TRUE(std::isfinite(largest)) << p.spec.name;
      const bool is_head = p.spec.name.find("head.") == 0, asked = p.spec.name == "head.0.bias";
      EXPECT_TRUE(!is_head || (largest > 0.01) == asked) << p.spec.name;
    }
  }
}

TEST(EarlyExitLoss, WeightsOfTargetsCount) {
  Batch batch = toy_batch();
  batch.weight_BT = tensor_of({2, 1, 1, 0, 7, 1}, {1, 6});
  const auto bits = [&](const SupervisionConfig& supervision) {
    ModelConfig config = toy_config(0.2);
    config.supervision = supervision;
    return objective(toy(config)->forward(batch, kTraining)).item<double>() / kBit;
  };
  // Of weight 5 in all: 2 * 1 + 2 + 3 + 1 bits at layer 0, 2 * 3 + 3 + 2 + 3 at layer 1.
  EXPECT_NEAR(bits({{"", {1, 1, 0}}, kMean, kLayer}), (8 / 5.0 + 14 / 5.0) / 2, kTight);
  // Target 3 has no weight, so that target 2 is all that layer 1 is asked about.
  EXPECT_NEAR(bits({kSkip, kMean, kLayer}), (8 / 5.0 + 2) / 3, kTight);
}

TEST(EarlyExitLoss, NoTargetAtAllIsNoNumberToDivideBy) {
  for (const ChoiceOrList& layers : {kAll, kSkip}) {
    ModelConfig config = toy_config(0.2);
    config.supervision = {layers, kMean, kLayer};
    const Batch batch = toy_batch();
    batch.targets_BT.fill_(-1);
    const ModelOutput output = toy(config)->forward(batch, kTraining);
    for (const LossPart& part : output.losses)
      EXPECT_TRUE(part.count == 0 && part.sum.item<double>() == 0) << part.name;
    for (const auto& [name, m] : output.metrics) EXPECT_TRUE(m.count == 0 && m.sum == 0) << name;
  }
}

// ---- A model with opinions

std::unique_ptr<NextTokenModel> opinionated(const ModelConfig& config,
                                            at::ScalarType dtype = at::kDouble) {
  auto model = model_of(config, kEarlyExitLossVocab, dtype);
  disturb(*model, 0.2);
  const at::NoGradGuard no_grad;
  for (int64_t i = 0; i < config.backbone.n_layer; ++i)
    model->parameters().at("head." + std::to_string(i) + ".weight").mul_(2.0);
  return model;
}

// 24 rows, a fifth of the targets missing.
Batch batch_with_gaps() {
  const Batch batch = batch_of(random_tokens({3, 8}, kEarlyExitLossVocab, 1),
                               random_tokens({3, 8}, kEarlyExitLossVocab, 2));
  for (int64_t i = 3; i < 24; i += 5) batch.targets_BT.data_ptr<int64_t>()[i] = -1;
  return batch;
}

TEST(EarlyExitLoss, SkippingIsAllWhereNothingIsEasy) {
  const auto loss = [](const SupervisionConfig& supervision) {
    ModelConfig config = exit_config(1.5, 3);
    config.supervision = supervision;
    return objective(opinionated(config)->forward(batch_with_gaps(), {})).item<double>();
  };
  const double all = loss({kAll, kMean, kLayer});
  EXPECT_NEAR(loss({kSkip, kMean, kLayer}), all, kTight);
  EXPECT_NEAR(loss({kSkip, kMean, kToken}), all, kTight);
}

// ---- Metrics

using Numbers = std::vector<double>;

// What one layer says of one row, from its logits.
struct Said {
  double loss = 0, right = 0;
  bool used = false, sure = false;  // by the walk's score, and by the largest probability
};

Said said(const Numbers& logits, size_t target, const HaltingConfig& halting, size_t layer,
          bool gold) {
  const auto p = [&](size_t id, double temperature) {
    double total = 0;
    for (const double x : logits) total += std::exp(x / temperature);
    return std::exp(logits[id] / temperature) / total;
  };
  const auto best = size_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const double threshold = halting.threshold_at(layer);
  return {-std::log(p(target, 1)), best == target ? 1.0 : 0.0,
          p(gold ? target : best, halting.temperature) >= threshold,
          p(best, halting.temperature) >= threshold};
}

// Everything exit_metrics reports, row by row.
std::map<std::string, double> counted_again(const NextTokenModel& model,
                                            const HaltingConfig& halting, const Batch& batch,
                                            bool training) {
  const KeptTrace trace = walk(model, batch, nullptr, training);
  const size_t L = trace.steps.size();
  std::map<std::string, double> m;
  double n = 0;
  for (int64_t r = 0; r < batch.targets_BT.numel(); ++r) {
    const int64_t target = batch.targets_BT.data_ptr<int64_t>()[r];
    if (target < 0) continue;
    ++n;
    size_t used = L - 1, answer = L - 1;
    std::vector<Said> layers;
    for (size_t l = 0; l < L; ++l) {
      const LinearParams& head = depth(model).walk().params().head.at(int(l));
      const Tensor logits = linear(trace.h(trace.steps[l]).select(0, r), head.weight, head.bias);
      layers.push_back(said(numbers(logits), size_t(target), halting, l,
                            halting.rule == HaltRule::kGold && training));
    }
    for (size_t l = L; l-- > 0;) {
      const std::string layer = std::to_string(l);
      if (layers[l].used) used = l;
      if (layers[l].sure) answer = l;
      m["layer_loss/" + layer] += layers[l].loss;
      m["layer_accuracy/" + layer] += layers[l].right;
      m["exit_rate/" + layer] += 0;
      m["exit_correct/" + layer] += 0;
    }
    m["infer"] += layers[used].loss;
    m["accuracy"] += layers[answer].right;
    m["exit_depth"] += double(answer + 1);
    m["earlystop"] += answer == L - 1 ? 0 : 1;
    m["exit_rate/" + std::to_string(answer)] += 1;
    m["exit_correct/" + std::to_string(answer)] += layers[answer].right;
    m["exit_confident_last"] += answer == L - 1 && layers[answer].sure ? 1 : 0;
    m["exit_fallback"] += layers[answer].sure ? 0 : 1;
  }
  for (auto& [name, value] : m) value /= n;
  return m;
}

std::vector<ModelConfig> halting_configs() {
  ModelConfig plain = exit_config(0.6, 3);
  plain.halting.mask_history = MaskHistory::kPrevious;
  ModelConfig gold = exit_config(0.3, 3);
  gold.halting.rule = HaltRule::kGold;
  ModelConfig tempered = exit_config(0.5, 3);
  tempered.halting.temperature = 1.3;
  tempered.halting.thresholds = {0.6, 0.4, 0.5};
  tempered.early_exit.layer_widths = {8, 12, 16};
  tempered.early_exit.gate_mode = GateMode::kLearned;
  ModelConfig skip = exit_config(0.7, 3);
  skip.supervision.layer_supervision = kSkip;
  return {plain, gold, tempered, skip};
}

TEST(EarlyExitMetrics, AreWhatTheLogitsSay) {
  const Batch batch = batch_with_gaps();
  for (const ModelConfig& config : halting_configs())
    for (const bool training : {false, true}) {
      const auto model = opinionated(config);
      const ModelOutput output = model->forward(batch, {training});
      const auto expected = counted_again(*model, config.halting, batch, training);
      EXPECT_EQ(output.metrics.size(), expected.size());
      double answered = 0, right = 0;
      for (const auto& [name, value] : expected) {
        ASSERT_EQ(output.metrics.count(name), 1U) << name;
        EXPECT_EQ(output.metrics.at(name).count, 19) << "targets of " << name;
        EXPECT_NEAR(metric(output, name), value, 1e-12) << name;
        if (name.rfind("exit_rate", 0) == 0) answered += metric(output, name);
        if (name.rfind("exit_correct", 0) == 0) right += metric(output, name);
      }
      EXPECT_EQ(output.loss.count, 19);
      EXPECT_NEAR(output.loss.sum.item<double>() / 19, expected.at("layer_loss/2"), 1e-12);
      EXPECT_FALSE(output.optimises_its_loss());
      EXPECT_NEAR(answered, 1, 1e-12);
      EXPECT_NEAR(right, metric(output, "accuracy"), 1e-12);
      EXPECT_LT(expected.at("exit_rate/0"), 1) << "several layers have to answer";
      EXPECT_GT(expected.at("exit_rate/0"), 0);
    }
}

// Gold scores look at the target in training passes, and only where losses and masks are made: who
// answers is always reported as generation will do it.
TEST(EarlyExitMetrics, GoldDecidesTheTrainingLossAndNoRate) {
  const auto model = toy(toy_config(0.2));
  const ModelOutput training = model->forward(toy_batch(), kTraining);
  const ModelOutput evaluation = model->forward(toy_batch(), {});
  EXPECT_NEAR(metric(training, "infer") / kBit, (1 + 2 + 2 + 1 + 1) / 5.0, kTight);
  EXPECT_NEAR(metric(evaluation, "infer") / kBit, 2, kTight);
  for (const ModelOutput* output : {&training, &evaluation}) {
    EXPECT_EQ(metric(*output, "exit_rate/0"), 1);
    EXPECT_EQ(metric(*output, "exit_depth"), 1);
    EXPECT_EQ(metric(*output, "accuracy"), 2 / 5.0);
    EXPECT_EQ(metric(*output, "exit_correct/0"), 2 / 5.0);
    EXPECT_EQ(metric(*output, "layer_accuracy/1"), 1 / 5.0);
    EXPECT_EQ(metric(*output, "layer_accuracy/2"), 2 / 5.0) << "of equals, the first is said";
  }
}

// ---- Thresholds

template <class Real>
void expect_equality_halts(at::ScalarType dtype) {
  const auto decision = [&](Real threshold) {
    const auto model = opinionated(exit_config(double(threshold)), dtype);
    return walk(*model, batch_with_gaps()).steps[0].decision;
  };
  const Tensor score_R = decision(2).score_R;
  for (int64_t row = 0; row < 24; row += 3) {
    const Real score = score_R.data_ptr<Real>()[row];
    const auto halts_at = [&](Real t) { return numbers(decision(t).halts_R)[size_t(row)] == 1; };
    EXPECT_TRUE(halts_at(score));
    EXPECT_TRUE(halts_at(std::nextafter(score, Real(0))));
    EXPECT_FALSE(halts_at(std::nextafter(score, Real(1))));
  }
}

TEST(Halting, AScoreEqualToTheThresholdHalts) {
  expect_equality_halts<double>(at::kDouble);
  expect_equality_halts<float>(at::kFloat);
}

TEST(Halting, AScoreThatIsNotANumberNever) {
  const auto model = opinionated(exit_config(-1, 2));
  const at::NoGradGuard no_grad;
  model->parameters().at("head.0.bias").fill_(std::numeric_limits<double>::quiet_NaN());
  const KeptTrace trace = walk(*model, batch_with_gaps());
  EXPECT_EQ(numbers(trace.steps[0].decision.halts_R), Numbers(24, 0));
  EXPECT_EQ(numbers(trace.steps[1].decision.halts_R), Numbers(24, 1));
}

// A missing target takes a row out of losses and rates, but generation, which has no targets, hides
// the same keys. Gold has no score then; what takes a row out of the text is valid_BT.
TEST(Halting, ARowWithoutATargetHaltsLikeAnother) {
  ModelConfig config = exit_config(0.6, 2);
  Batch batch = batch_with_gaps();
  const auto halts = [&](bool training) {
    return numbers(walk(*opinionated(config), batch, nullptr, training).steps[0].decision.halts_R);
  };
  const Numbers with_gaps = halts(true);
  batch.targets_BT = random_tokens({3, 8}, kEarlyExitLossVocab, 3);
  EXPECT_EQ(halts(true), with_gaps);

  batch = batch_with_gaps();
  config.halting.threshold = 0;
  batch.valid_BT = batch.targets_BT.ge(0);
  EXPECT_EQ(halts(true), numbers(batch.valid_BT));
  batch.valid_BT = Tensor();
  config.halting.rule = HaltRule::kGold;
  config.halting.threshold = 1e-9;
  EXPECT_EQ(halts(true), numbers(batch.targets_BT.ge(0)));
  EXPECT_EQ(halts(false), Numbers(24, 1));
}

// ---- Gradients

// A threshold that some scores meet, so far from all that no difference moves one across it.
double quiet_threshold(ModelConfig config, const Batch& batch) {
  double best = 0, widest = 0;
  for (double threshold = 0.05; threshold < 0.9; threshold += 0.01) {
    config.halting.threshold = threshold;
    const KeptTrace trace = walk(*opinionated(config), batch, nullptr, true);
    double margin = 1, halting = 0;
    for (const StepRecord& r : trace.steps) {
      halting += r.decision.halts_R.to(at::kDouble).sum().item<double>();
      margin = std::min(margin, (r.decision.score_R - threshold).abs().min().item<double>());
    }
    if (margin > widest && halting > 15 && halting < 57) widest = margin, best = threshold;
  }
  EXPECT_GT(widest, 2e-3);
  return best;
}

TEST(EarlyExitGradients, AgreeWithDifferences) {
  const Batch batch = batch_with_gaps();
  for (ModelConfig config : halting_configs()) {
    config.halting.thresholds.clear();
    config.halting.threshold = quiet_threshold(config, batch);
    const auto model = opinionated(config);
    expect_gradients([&] { return objective(model->forward(batch, kTraining)); },
                     tensors_of(*model), 2);
  }
}

}  // namespace
}  // namespace fathom::testing
