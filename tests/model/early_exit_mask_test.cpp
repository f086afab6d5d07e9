// Who may attend to whom once tokens halt: hidden keys, queries that see nothing, causality, and
// what a label may not reach.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "fathom/model/depth_model.h"
#include "fathom/ops/plain.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

constexpr int64_t kEarlyExitMaskVocab = 11, kEarlyExitMaskB = 2, kEarlyExitMaskT = 8;

// Decisions of each layer, (kEarlyExitMaskB, kEarlyExitMaskT), for WalkOptions::replay: nobody
// halts but those named.
using Halts = std::vector<Tensor>;
Halts nobody(size_t n_layer) {
  Halts halts(n_layer);
  for (Tensor& h : halts)
    h = at::zeros({kEarlyExitMaskB, kEarlyExitMaskT}, at::TensorOptions(at::kBool));
  return halts;
}
Halts halting(size_t n_layer, size_t layer, int64_t position) {
  Halts halts = nobody(n_layer);
  halts[layer].select(1, position).fill_(true);
  return halts;
}

// Of each layer, (kEarlyExitMaskB, kEarlyExitMaskT, V).
std::vector<Tensor> logits_by_position(const NextTokenModel& model, const KeptTrace& trace) {
  std::vector<Tensor> all = layer_logits(model, trace);
  for (Tensor& logits : all)
    logits = logits.view({kEarlyExitMaskB, kEarlyExitMaskT, kEarlyExitMaskVocab});
  return all;
}

Batch tokens_only(unsigned seed) {
  return batch_of(random_tokens({kEarlyExitMaskB, kEarlyExitMaskT}, kEarlyExitMaskVocab, seed), {});
}

Batch with_targets(unsigned seed) {
  return batch_of(
      random_tokens({kEarlyExitMaskB, kEarlyExitMaskT}, kEarlyExitMaskVocab, seed),
      random_tokens({kEarlyExitMaskB, kEarlyExitMaskT}, kEarlyExitMaskVocab, seed + 100));
}

// With heads that are sure of some tokens.
std::unique_ptr<NextTokenModel> disturbed_model(const ModelConfig& config) {
  auto model = model_of(config, kEarlyExitMaskVocab, at::kDouble);
  disturb(*model, 0.2);
  const at::NoGradGuard no_grad;
  for (int64_t i = 0; i < config.backbone.n_layer; ++i)
    model->parameters().at("head." + std::to_string(i) + ".weight").mul_(2.0);
  return model;
}

double share(const Tensor& halts_R) {
  return halts_R.to(at::kDouble).mean().item<double>();
}

// Both histories, and a hidden token that sees itself and that does not.
std::vector<ModelConfig> every_masking(const ModelConfig& base) {
  std::vector<ModelConfig> configs;
  for (const MaskHistory history : {MaskHistory::kPrevious, MaskHistory::kCumulative})
    for (const bool self : {true, false}) {
      configs.push_back(base);
      configs.back().halting.mask_history = history;
      configs.back().halting.mask_self = self;
    }
  return configs;
}

// ---- Thresholds beyond every score

TEST(Threshold, OneThatIsNeverMetIsNoMaskAtAll) {
  const Batch batch = with_targets(1);
  for (ModelConfig config : every_masking(exit_config(1.5, 3))) {
    const auto masked = disturbed_model(config);
    config.halting.rule = HaltRule::kNone;
    const auto plain = disturbed_model(config);
    const std::vector<Tensor> one = logits_by_position(*masked, walk(*masked, batch));
    const std::vector<Tensor> two = logits_by_position(*plain, walk(*plain, batch));
    for (size_t i = 0; i < 3; ++i) EXPECT_LE(max_difference(one[i], two[i]), 1e-12) << i;
    const ModelOutput output = masked->forward(batch, {});
    const auto mean = [&](const char* name) {
      return output.metrics.at(name).sum / output.metrics.at(name).count;
    };
    EXPECT_EQ(mean("exit_rate/0"), 0);
    EXPECT_EQ(mean("exit_rate/1"), 0);
    EXPECT_EQ(mean("exit_rate/2"), 1);
    EXPECT_EQ(mean("exit_fallback"), 1);
    EXPECT_EQ(mean("infer"), mean("layer_loss/2"));
    EXPECT_NEAR(mean_loss(*masked, batch), mean_loss(*plain, batch), 1e-13);
  }
}

// Every key is hidden from the second layer on: a query that may not see itself either attends to
// nothing, and nothing but the bias of the attention's output is left.
TEST(Threshold, OneThatIsAlwaysMetLeavesNoAttention) {
  const Batch batch = with_targets(1);
  for (const double threshold : {0.0, -1.0}) {
    const auto model = disturbed_model(exit_config(threshold, 3));
    const std::vector<Tensor> before = logits_by_position(*model, walk(*model, batch));
    const ModelOutput output = model->forward(batch, {true});
    EXPECT_EQ(output.metrics.at("exit_rate/0").sum, double(kEarlyExitMaskB * kEarlyExitMaskT));
    EXPECT_EQ(output.metrics.at("infer").sum, output.metrics.at("layer_loss/0").sum);
    const Tensor loss = output.losses.at(0).sum;
    EXPECT_TRUE(std::isfinite(loss.item<double>()));
    backward(loss);
    for (const Parameter& p : model->parameters().all()) {
      ASSERT_TRUE(p.tensor.grad().defined()) << p.spec.name;
      const double norm = p.tensor.grad().norm().item<double>();
      const bool unused =
          p.spec.name.rfind("attention.0", 0) != 0 &&
          (p.spec.name.find(".qkv.") != std::string::npos ||
           p.spec.name.find(".out.weight") != std::string::npos ||
           p.spec.name.find("norm_in.1") == 0 || p.spec.name.find("norm_in.2") == 0);
      EXPECT_TRUE(unused ? norm == 0 : std::isfinite(norm) && norm > 0) << p.spec.name << norm;
    }
    for (const char* name : {"attention.1.qkv.weight", "attention.2.out.weight"})
      Tensor(model->parameters().at(name).detach()).mul_(-3.0);
    const std::vector<Tensor> after = logits_by_position(*model, walk(*model, batch));
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(before[i], after[i])) << i;
  }
}

TEST(Threshold, AHiddenTokenThatMaySeeItselfSeesNothingElse) {
  ModelConfig config = exit_config(0.0, 2);
  config.halting.mask_self = false;
  const auto model = disturbed_model(config);
  const Batch batch = tokens_only(1);
  const KeptTrace trace = walk(*model, batch);
  // The attention of a single visible key is its value, whatever the scores.
  const Carry start = trace.door(1);
  const auto second = [&](const Carry& carry) {
    return walk_again(depth(*model).walk(), depth(*model).program(), trace, {1, 2}, carry, {}).r_RC;
  };
  Carry changed = start;
  changed.r_RC = start.r_RC.detach().clone();
  changed.r_RC.select(0, 2).add_(1.0);
  const Tensor before = second(start), after = second(changed);
  for (int64_t row = 0; row < kEarlyExitMaskB * kEarlyExitMaskT; ++row)
    EXPECT_EQ(same_bits(before.select(0, row), after.select(0, row)), row != 2) << row;
  Tensor(model->parameters().at("attention.1.qkv.weight").detach()).narrow(0, 0, 16).mul_(-2.0);
  EXPECT_LE(max_difference(second(start), before), 1e-13) << "queries do not matter";
  Tensor(model->parameters().at("attention.1.qkv.weight").detach()).narrow(0, 32, 16).mul_(-2.0);
  EXPECT_GT(max_difference(second(start), before), 1e-3) << "values do";
}

// ---- Causality

struct Everything {
  const char* name;
  ModelConfig config;
};

std::vector<Everything> maskings_with_everything() {
  ModelConfig config = exit_config(0.5, 3);
  config.early_exit.layer_widths = {8, 12, 16};
  config.early_exit.gate_mode = GateMode::kLearned;
  config.early_exit.layer_contexts = {3, 2, 5};
  config.halting.temperature = 0.7;
  std::vector<Everything> all;
  for (const ModelConfig& plain : every_masking(exit_config(0.5, 3)))
    all.push_back({"plain", plain});
  for (const ModelConfig& full : every_masking(config)) all.push_back({"everything", full});
  return all;
}

Tensor with_another_token(const Tensor& tokens_BT, int64_t position) {
  const Tensor changed = tokens_BT.clone();
  const Tensor column = changed.select(1, position);
  column.copy_((column + 1).remainder(kEarlyExitMaskVocab));
  return changed;
}

// Changing token j leaves the logits of every layer before j as they are, bit for bit.
void expect_causal(const NextTokenModel& model, const Halts* replay) {
  const Batch batch = tokens_only(3);
  const std::vector<Tensor> before = logits_by_position(model, walk(model, batch, replay));
  for (int64_t j = 0; j < kEarlyExitMaskT; ++j) {
    const Batch changed = batch_of(with_another_token(batch.tokens_BT, j), {});
    const std::vector<Tensor> after = logits_by_position(model, walk(model, changed, replay));
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_TRUE(same_bits(before[i].narrow(1, 0, j), after[i].narrow(1, 0, j)))
          << "layer " << i << ", token " << j;
      EXPECT_FALSE(same_bits(before[i].select(1, j), after[i].select(1, j))) << i << ", " << j;
    }
  }
}

TEST(MaskCausality, ScoresDecide) {
  for (const Everything& e : maskings_with_everything()) {
    SCOPED_TRACE(e.name);
    const auto model = disturbed_model(e.config);
    const KeptTrace trace = walk(*model, tokens_only(3));
    for (const size_t i : {0, 1}) {
      const double halting = share(trace.steps[i].decision.halts_R);
      EXPECT_GT(halting, 0.1) << "masks have to act";
      EXPECT_LT(halting, 0.9);
    }
    expect_causal(*model, nullptr);
  }
}

// The first token halts at once: its own query is left without a key, which must not make it see
// the future. A large negative number in place of a mask would.
TEST(MaskCausality, AQueryThatSeesNothing) {
  for (const Everything& e : maskings_with_everything()) {
    SCOPED_TRACE(e.name);
    const auto model = disturbed_model(e.config);
    Halts halts = halting(3, 0, 0);
    halts[1].fill_(true);
    expect_causal(*model, &halts);
    const std::vector<Tensor> logits =
        logits_by_position(*model, walk(*model, tokens_only(3), &halts));
    for (const Tensor& l : logits) EXPECT_TRUE(std::isfinite(l.abs().max().item<double>()));
  }
}

// ---- Hidden keys

// The rows of `layer` that change when the state of `position` does at the layer's door.
std::set<int64_t> seen_by(const NextTokenModel& model, const KeptTrace& trace, size_t layer,
                          int64_t position) {
  const at::NoGradGuard no_grad;
  const auto after = [&](const Carry& carry) {
    const Segment one = {layer, layer + 1};
    return walk_again(depth(model).walk(), depth(model).program(), trace, one, carry, {})
        .r_RC.view({kEarlyExitMaskB, kEarlyExitMaskT, -1});
  };
  Carry changed = trace.door(layer);
  changed.r_RC = changed.r_RC.clone();
  changed.r_RC.select(0, position).add_(random_normal({changed.r_RC.size(1)}, 9));
  const Tensor one = after(trace.door(layer)), two = after(changed);
  EXPECT_TRUE(same_bits(one.select(0, 1), two.select(0, 1))) << "another sequence";
  std::set<int64_t> rows;
  for (int64_t t = 0; t < kEarlyExitMaskT; ++t)
    if (!same_bits(one.select(0, 0).select(0, t), two.select(0, 0).select(0, t))) rows.insert(t);
  return rows;
}

using Positions = std::set<int64_t>;

TEST(HiddenKey, IsSeenByNobodyInTheNextLayer) {
  for (const ModelConfig& config : every_masking(exit_config(0.5, 3))) {
    const auto model = disturbed_model(config);
    for (const size_t layer : {1, 2}) {
      const Halts halts = halting(3, layer - 1, 4);
      const KeptTrace trace = walk(*model, tokens_only(1), &halts);
      EXPECT_EQ(seen_by(*model, trace, layer, 4), (Positions{4})) << "its own stream";
      EXPECT_EQ(seen_by(*model, trace, layer, 5), (Positions{5, 6, 7}));
      const Halts none = nobody(3);
      const KeptTrace open = walk(*model, tokens_only(1), &none);
      EXPECT_EQ(seen_by(*model, open, layer, 4), (Positions{4, 5, 6, 7}));
    }
  }
}

// What the last layer adds to token 4's stream where the values of its own key are multiplied.
TEST(HiddenKey, IsSeenByItsOwnQueryOnlyIfSaidSo) {
  for (const ModelConfig& config : every_masking(exit_config(0.5, 2))) {
    const auto model = disturbed_model(config);
    const Halts halts = halting(2, 0, 0);
    const auto first_token = [&] {
      return logits_by_position(*model, walk(*model, tokens_only(1), &halts))[1]
          .select(1, 0)
          .clone();
    };
    const Tensor before = first_token();
    Tensor(model->parameters().at("attention.1.qkv.weight").detach()).mul_(2.0);
    // The first token has no other key: its attention is itself or nothing.
    EXPECT_EQ(same_bits(before, first_token()), *config.halting.mask_self);
  }
}

TEST(HiddenKey, MaySeeAgainWhereOnlyThePreviousLayerDecides) {
  for (const ModelConfig& config : every_masking(exit_config(0.5, 3))) {
    const auto model = disturbed_model(config);
    const Halts halts = halting(3, 0, 4);  // confident at layer 0, no more at layer 1
    const KeptTrace trace = walk(*model, tokens_only(1), &halts);
    const bool comes_back = config.halting.mask_history == MaskHistory::kPrevious;
    EXPECT_EQ(seen_by(*model, trace, 1, 4), (Positions{4}));
    EXPECT_EQ(seen_by(*model, trace, 2, 4), comes_back ? (Positions{4, 5, 6, 7}) : (Positions{4}));
  }
}

TEST(HiddenKey, FollowsFromTheScoresOfTheLayersBefore) {
  for (const Everything& e : maskings_with_everything()) {
    SCOPED_TRACE(e.name);
    const auto model = disturbed_model(e.config);
    const KeptTrace trace = walk(*model, tokens_only(3));
    EXPECT_FALSE(trace.steps[0].hidden_R.defined());
    std::vector<Tensor> confident;
    for (const Tensor& logits : logits_by_position(*model, trace)) {
      const Tensor p = (logits / e.config.halting.temperature).softmax(-1);
      confident.push_back(std::get<0>(p.max(-1)).ge(0.5).view({kEarlyExitMaskB * kEarlyExitMaskT}));
    }
    EXPECT_FALSE(same_bits(confident[0], confident[1])) << "histories have to differ";
    const bool previous = e.config.halting.mask_history == MaskHistory::kPrevious;
    const Tensor either = confident[0].logical_or(confident[1]);
    EXPECT_TRUE(same_bits(trace.steps[1].hidden_R, confident[0]));
    EXPECT_TRUE(same_bits(trace.steps[2].hidden_R, previous ? confident[1] : either));
    EXPECT_TRUE(same_bits(trace.steps[2].done_R, either));
  }
}

// ---- What labels may not reach

// A gold walk where token 4 of the first sequence halts at layer 0 with one target and not with
// another: the positions of each layer whose logits differ.
std::vector<Positions> reached_by_label(ModelConfig config, bool training) {
  config.halting.rule = HaltRule::kGold;
  Batch batch = with_targets(1);
  const Tensor p =
      logits_by_position(*disturbed_model(config), walk(*disturbed_model(config), batch))[0]
          .softmax(-1)
          .select(0, 0)
          .select(0, 4);
  config.halting.threshold = (p.max() + p.min()).item<double>() / 2;
  const auto model = disturbed_model(config);
  const auto with_label = [&](const Tensor& label) {
    batch.targets_BT.data_ptr<int64_t>()[4] = label.item<int64_t>();
    return logits_by_position(*model, walk(*model, batch, nullptr, training));
  };
  const std::vector<Tensor> likely = with_label(p.argmax()), unlikely = with_label(p.argmin());
  std::vector<Positions> reached(likely.size());
  for (size_t i = 0; i < likely.size(); ++i)
    for (int64_t t = 0; t < kEarlyExitMaskT; ++t)
      if (!same_bits(likely[i].select(1, t), unlikely[i].select(1, t))) reached[i].insert(t);
  return reached;
}

TEST(GoldLabel, DoesNotReachItsOwnPrediction) {
  for (const MaskHistory history : {MaskHistory::kPrevious, MaskHistory::kCumulative}) {
    ModelConfig config = exit_config(0.5, 3);
    config.halting.mask_history = history;
    ASSERT_FALSE(config.halting.mask_self.has_value());
    const std::vector<Positions> reached = reached_by_label(config, true);
    EXPECT_EQ(reached[0], Positions{});
    // Later queries know the label as their token.
    EXPECT_EQ(reached[1], (Positions{5, 6, 7}));
    EXPECT_EQ(reached[2], (Positions{5, 6, 7}));

    config.halting.mask_self = true;
    const std::vector<Positions> leaked = reached_by_label(config, true);
    EXPECT_EQ(leaked[0], Positions{});
    EXPECT_EQ(leaked[1], (Positions{4, 5, 6, 7})) << "why mask_self is false for gold";
    // An evaluation does not look at labels at all.
    for (const Positions& layer : reached_by_label(config, false)) EXPECT_EQ(layer, Positions{});
  }
}

TEST(GoldLabel, WithoutTargetsGoldIsMax) {
  ModelConfig config = exit_config(0.4, 3);
  config.halting.mask_self = true;
  const auto max = disturbed_model(config);
  config.halting.rule = HaltRule::kGold;
  const auto gold = disturbed_model(config);
  const Batch batch = tokens_only(1), targets = with_targets(1);
  EXPECT_TRUE(same_bits(gold->logits(batch.tokens_BT), max->logits(batch.tokens_BT)));
  EXPECT_EQ(mean_loss(*gold, targets), mean_loss(*max, targets));
  EXPECT_NE(mean_loss(*gold, targets, {true}), mean_loss(*max, targets, {true}));
}

}  // namespace
}  // namespace fathom::testing
