// The plain GPT's function: against an independent implementation, its gradients, causality,
// splits.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "errors.h"
#include "fathom/train/recipe/registry.h"
#include "model/reference_gpt.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

constexpr int64_t kGptVocab = 11;

std::vector<ModelConfig> both_configs() {
  return {tied_config(), untied_config()};
}

// Two sequences with some targets missing.
Batch batch_with_gaps(int64_t B, int64_t T, unsigned seed) {
  const Batch batch =
      batch_of(random_tokens({B, T}, kGptVocab, seed), random_tokens({B, T}, kGptVocab, seed + 1));
  for (int64_t i = 0; i < B * T; i += 1 + i % 4) batch.targets_BT.data_ptr<int64_t>()[i] = -1;
  return batch;
}

std::vector<Tensor> gradients_of(const NextTokenModel& model) {
  std::vector<Tensor> gradients;
  for (const Tensor& t : tensors_of(model)) gradients.push_back(t.grad().clone());
  return gradients;
}

TEST(Gpt, AgreesWithAnIndependentImplementation) {
  ModelConfig three_heads = untied_config();
  three_heads.backbone.n_head = 3;
  three_heads.backbone.n_embd = 15;
  three_heads.backbone.n_layer = 3;
  three_heads.backbone.activation = Activation::kGelu;
  for (const ModelConfig& config : {tied_config(), untied_config(), three_heads}) {
    const auto model = model_of(config, kGptVocab, at::kDouble);
    disturb(*model, 0.3);
    const ReferenceGpt reference(config, *model);
    for (const int64_t T : {1, 5, 8}) {
      const Tensor tokens = random_tokens({2, T}, kGptVocab, unsigned(T));
      std::vector<double> expected;
      for (int64_t b = 0; b < 2; ++b) {
        const int64_t* row = tokens.data_ptr<int64_t>() + b * T;
        const std::vector<double> one = reference.logits({row, row + T});
        expected.insert(expected.end(), one.begin(), one.end());
      }
      EXPECT_LE(max_difference(model->logits(tokens), tensor_of(expected, {2, T, kGptVocab})),
                1e-10);
    }
  }
}

TEST(Gpt, DropoutIsWhereTheIndependentImplementationHasIt) {
  ModelConfig config = untied_config();
  config.backbone.dropout = 0.3;
  config.backbone.attn_dropout = 0.5;
  config.backbone.embed_dropout = 0.1;
  const auto model = model_of(config, kGptVocab, at::kDouble);
  disturb(*model, 0.3);
  const Batch batch = batch_with_gaps(3, 7, 5);
  double expected = 0;
  for (int64_t b = 0; b < 3; ++b) {
    const int64_t* tokens = batch.tokens_BT.data_ptr<int64_t>() + b * 7;
    const ReferenceGpt reference(config, *model, RandomField(1, 2, 10 + b));
    const Tensor log_p =
        tensor_of(reference.logits({tokens, tokens + 7}), {7, kGptVocab}).log_softmax(-1);
    for (int64_t t = 0; t < 7; ++t) {
      const int64_t target = batch.targets_BT.data_ptr<int64_t>()[b * 7 + t];
      if (target >= 0) expected -= numbers(log_p)[size_t(t * kGptVocab + target)];
    }
  }
  const ModelOutput output = model->forward(batch, {true, RandomField(1, 2, 10)});
  // The multipliers are single precision: 1 / (1 - p) to seven digits, here and there alike.
  EXPECT_NEAR(output.losses.at(0).sum.item<double>(), expected, 1e-10);
}

TEST(Gpt, GradientsAgreeWithDifferences) {
  for (ModelConfig config : both_configs()) {
    const auto model = model_of(config, kGptVocab, at::kDouble);
    disturb(*model, 0.1);
    const Batch batch = batch_with_gaps(2, 7, 5);
    expect_gradients([&] { return model->forward(batch, {}).losses.at(0).sum; }, tensors_of(*model),
                     4);
  }
}

TEST(Gpt, GradientsAgreeWithDifferencesUnderDropout) {
  ModelConfig config = untied_config();
  config.backbone.dropout = 0.3;
  const auto model = model_of(config, kGptVocab, at::kDouble);
  const Batch batch = batch_with_gaps(2, 7, 5);
  const Pass pass = {true, RandomField(1, 2, 3)};
  expect_gradients([&] { return model->forward(batch, pass).losses.at(0).sum; }, tensors_of(*model),
                   3);
}

TEST(Gpt, TiedHeadTrainsTheTableFromBothUses) {
  ModelConfig tied = tied_config(), untied = tied_config();
  untied.backbone.tie_head = false;
  const auto one = model_of(tied, kGptVocab, at::kDouble),
             two = model_of(untied, kGptVocab, at::kDouble);
  const Tensor table = one->parameters().at("token_table.0.weight");
  {
    const at::NoGradGuard no_grad;
    Tensor head = two->parameters().at("head.0.weight");
    head.copy_(table);
  }
  const Batch batch = batch_with_gaps(2, 7, 5);
  for (const auto* model : {one.get(), two.get()})
    backward(model->forward(batch, {}).losses.at(0).sum);
  const Tensor as_input = two->parameters().at("token_table.0.weight").grad();
  const Tensor as_head = two->parameters().at("head.0.weight").grad();
  EXPECT_GT(as_input.abs().max().item<double>(), 1e-3);
  EXPECT_GT(as_head.abs().max().item<double>(), 1e-3);
  EXPECT_LE(max_difference(table.grad(), as_input + as_head), 1e-12);
}

TEST(Gpt, IsCausalForEveryPreset) {
  for (const Preset& preset : registry().presets()) {
    SCOPED_TRACE(preset.name);
    const ModelConfig config = shrunk(preset_config(preset.name).model);
    const auto model = model_of(config, kGptVocab);
    if (model->next_token_model() == nullptr) continue;
    const int64_t T = config.backbone.block_size;
    // Without attention rows see nothing of others, nor as long as all that it is given is zeros.
    const bool mixes =
        config.wiring.calls_attention() && config.wiring.wiring.rfind("y = A(y)", 0) != 0;
    const Tensor tokens = random_tokens({2, T}, kGptVocab, 3);
    const Tensor before = model->logits(tokens);
    for (int64_t j = 0; j < T; ++j) {
      const Tensor changed = tokens.clone();
      for (int64_t b = 0; b < 2; ++b) {
        int64_t& token = changed.data_ptr<int64_t>()[b * T + j];
        token = (token + 1) % kGptVocab;
      }
      const Tensor after = model->logits(changed);
      EXPECT_TRUE(same_bits(before.narrow(1, 0, j), after.narrow(1, 0, j))) << j;
      for (int64_t t = j; t < (mixes ? T : j + 1); ++t)
        EXPECT_FALSE(same_bits(before.select(1, t), after.select(1, t))) << j << ", " << t;
    }
  }
}

TEST(Gpt, TheFutureGetsNoGradient) {
  // A target at position 3 only: positions 4 to 7 of the position table stay untouched.
  const auto model = model_of(tied_config(), kGptVocab, at::kDouble);
  const Batch batch =
      batch_of(random_tokens({1, 8}, kGptVocab, 1), random_tokens({1, 8}, kGptVocab, 2));
  for (int64_t t = 0; t < 8; ++t)
    if (t != 3) batch.targets_BT.data_ptr<int64_t>()[t] = -1;
  backward(model->forward(batch, {}).losses.at(0).sum);
  const Tensor gradient = model->parameters().at("position_table.weight").grad();
  EXPECT_EQ(gradient.narrow(0, 4, 4).abs().max().item<double>(), 0.0);
  for (int64_t t = 0; t < 4; ++t) EXPECT_GT(gradient.select(0, t).abs().max().item<double>(), 0.0);
}

TEST(Gpt, ABatchesRowsDoNotSeeEachOther) {
  const auto model = model_of(untied_config(), kGptVocab, at::kDouble);
  const Tensor tokens = random_tokens({3, 6}, kGptVocab, 4);
  const Tensor together = model->logits(tokens);
  for (int64_t b = 0; b < 3; ++b)
    EXPECT_LE(max_difference(together.narrow(0, b, 1), model->logits(tokens.narrow(0, b, 1))),
              1e-13);
}

TEST(Gpt, LossIsTheSumOverValidTargets) {
  const auto model = model_of(tied_config(), kGptVocab, at::kDouble);
  const Batch batch = batch_with_gaps(3, 7, 9);
  const Tensor log_p = model->logits(batch.tokens_BT).log_softmax(-1).contiguous();
  double sum = 0, count = 0, correct = 0;
  for (int64_t i = 0; i < 21; ++i) {
    const int64_t target = batch.targets_BT.data_ptr<int64_t>()[i];
    if (target < 0) continue;
    const double* row = log_p.data_ptr<double>() + i * kGptVocab;
    sum -= row[target];
    correct += std::max_element(row, row + kGptVocab) - row == target;
    ++count;
  }
  const ModelOutput output = model->forward(batch, {});
  ASSERT_EQ(output.losses.size(), 1U);
  EXPECT_NEAR(output.losses[0].sum.item<double>(), sum, 1e-12);
  EXPECT_EQ(output.losses[0].count, count);
  EXPECT_EQ(model->known_counts(batch, {}).at(output.losses[0].name), count);
  // One layer reads, so there is nothing to say about layers.
  ASSERT_EQ(output.metrics.size(), 1U);
  const Metric accuracy = output.metrics.at("accuracy");
  EXPECT_TRUE(output.loss.sum.is_same(output.losses[0].sum)) << "what is optimised is the answer's";
  EXPECT_NEAR(output.loss.sum.item<double>(), sum, 1e-12);
  EXPECT_EQ(output.loss.count, count);
  EXPECT_EQ(accuracy.sum, correct);
  EXPECT_EQ(accuracy.count, count);
}

// What the trainer relies on: gradients of sum / (count of the whole step), added up over any
// division of its sequences, are the same, whatever targets are missing and with dropout on.
TEST(Gpt, AStepsGradientsDoNotDependOnItsDivision) {
  for (ModelConfig config : both_configs()) {
    config.backbone.dropout = 0.2;
    const auto model = model_of(config, kGptVocab, at::kDouble);
    const Batch whole = batch_with_gaps(8, 7, 20);
    const double count = model->known_counts(whole, {}).at("loss");
    const auto gradients = [&](const std::vector<int64_t>& sizes) {
      model->parameters().zero_grad();
      int64_t first = 0;
      for (const int64_t rows : sizes) {
        const Batch part = batch_of(whole.tokens_BT.narrow(0, first, rows),
                                    whole.targets_BT.narrow(0, first, rows));
        backward(model->forward(part, {true, RandomField(1, 7, first)}).losses.at(0).sum / count);
        first += rows;
      }
      EXPECT_EQ(first, 8);
      return gradients_of(*model);
    };
    const std::vector<Tensor> expected = gradients({8});
    for (const std::vector<int64_t>& sizes :
         std::vector<std::vector<int64_t>>{{4, 4}, {1, 1, 1, 1, 1, 1, 1, 1}, {3, 3, 2}, {1, 7}}) {
      const std::vector<Tensor> actual = gradients(sizes);
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_LE(max_difference(actual[i], expected[i]), 1e-12)
            << model->parameters().all()[i].spec.name;
    }
  }
}

TEST(Gpt, DropoutActsInTrainingOnlyAndAtEverySite) {
  const Batch batch = batch_with_gaps(2, 8, 1);
  const auto loss = [&](const std::function<void(BackboneConfig&)>& change, const Pass& pass) {
    ModelConfig config = tied_config();
    change(config.backbone);
    return mean_loss(*model_of(config, kGptVocab), batch, pass);
  };
  const Pass training = {true, RandomField(1, 2, 0)};
  const double none = loss([](BackboneConfig&) {}, training);
  const auto all = [](BackboneConfig& b) { b.dropout = 0.5; };
  EXPECT_EQ(loss([](BackboneConfig&) {}, {}), none);
  EXPECT_EQ(loss(all, {}), none);
  const std::vector<double> losses = {
      none,
      loss(all, training),
      loss(all, {true, RandomField(1, 3, 0)}),
      loss([](BackboneConfig& b) { b.attn_dropout = 0.5; }, training),
      loss([](BackboneConfig& b) { b.residual_dropout = 0.5; }, training),
      loss([](BackboneConfig& b) { b.embed_dropout = 0.5; }, training)};
  for (size_t i = 0; i < losses.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(losses[i], losses[j]) << i << ", " << j;
  // A site's own value wins over dropout, zero included.
  EXPECT_EQ(loss(
                [](BackboneConfig& b) {
                  b.dropout = 0.5;
                  b.attn_dropout = b.residual_dropout = b.embed_dropout = 0.0;
                },
                training),
            none);
}

TEST(Gpt, GivesTheSameBitsTwice) {
  ModelConfig config = untied_config();
  config.backbone.dropout = 0.2;
  const Batch batch = batch_with_gaps(4, 8, 1);
  const auto once = [&] {
    const auto model = model_of(config, kGptVocab);
    backward(model->forward(batch, {true, RandomField(1, 2, 0)}).losses.at(0).sum);
    std::vector<Tensor> all = gradients_of(*model);
    all.push_back(model->logits(batch.tokens_BT));
    return all;
  };
  const std::vector<Tensor> first = once(), second = once();
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(same_bits(first[i], second[i])) << i;
}

TEST(Gpt, SinglePrecisionIsTheSameModel) {
  for (const ModelConfig& config : both_configs()) {
    const Tensor tokens = random_tokens({4, 8}, kGptVocab, 1);
    EXPECT_LE(max_difference(model_of(config, kGptVocab, at::kFloat)->logits(tokens),
                             model_of(config, kGptVocab, at::kDouble)->logits(tokens)),
              1e-5);
  }
}

TEST(Gpt, RefusesMorePositionsThanItHas) {
  const auto model = model_of(tied_config(), kGptVocab);
  EXPECT_EQ(model->logits(random_tokens({1, 8}, kGptVocab, 1)).size(1), 8);
  EXPECT_STREQ(caught([&] {
                 model->logits(random_tokens({1, 9}, kGptVocab, 1));
               }).what(),
               "9 positions do not fit block_size = 8");
}

}  // namespace
}  // namespace fathom::testing
