// From a model to text: which tokens it sees, which layer answers, and what is drawn.
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/decode/generate.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

constexpr int64_t kGenerateVocab = 11;

// Freshly drawn, a model would hardly notice what is further back than the last token.
std::unique_ptr<NextTokenModel> strong_model() {
  auto model = model_of(untied_config(), kGenerateVocab);
  disturb(*model, 0.3);
  return model;
}

// And in `layers`, if given, who answered.
std::vector<int64_t> text(const NextTokenModel& model, const std::vector<int64_t>& start,
                          GenerateOptions options, std::vector<int64_t>* layers = nullptr) {
  if (options.window.capacity == 0) options.window.capacity = 8;
  if (options.vocab_size == 0) options.vocab_size = kGenerateVocab;
  std::vector<int64_t> tokens;
  generate(model, {start}, options, [&](size_t, int64_t token, int64_t layer) {
    tokens.push_back(token);
    if (layers != nullptr) layers->push_back(layer);
  });
  return tokens;
}

Tensor window_of(const std::vector<int64_t>& tokens) {
  const Tensor window = at::empty({1, int64_t(tokens.size())}, at::TensorOptions(at::kLong));
  std::copy(tokens.begin(), tokens.end(), window.data_ptr<int64_t>());
  return window;
}

GenerateOptions options(int64_t length, uint64_t seed = 1, uint64_t number = 0) {
  GenerateOptions o;
  o.max_new_tokens = length;
  o.seed = seed;
  o.first_sample = number;
  return o;
}

TEST(Generate, IsReproducibleBySeedAndTextNumber) {
  const auto model = strong_model();
  const std::vector<int64_t> one = text(*model, {1}, options(40));
  EXPECT_EQ(one.size(), 40U);
  EXPECT_EQ(text(*model, {1}, options(40)), one);
  EXPECT_NE(text(*model, {1}, options(40, 2)), one);
  EXPECT_NE(text(*model, {1}, options(40, 1, 1)), one);
  // A longer text begins as the shorter one.
  std::vector<int64_t> longer = text(*model, {1}, options(60));
  longer.resize(40);
  EXPECT_EQ(longer, one);
}

TEST(Generate, DrawsFromTheLastPositionsScores) {
  const auto model = strong_model();
  GenerateOptions o = options(20, 5);
  o.sampler = {0.8, 4};
  std::vector<int64_t> tokens = {3, 1, 4};
  const RandomStream stream(5, "sample/0");
  std::vector<int64_t> expected;
  for (uint64_t i = 0; i < 20; ++i) {
    // Only the last block_size tokens are seen.
    const std::vector<int64_t> seen(tokens.end() - std::min<int64_t>(8, int64_t(tokens.size())),
                                    tokens.end());
    const std::vector<double> all = numbers(model->logits(window_of(seen)));
    const std::vector<float> scores(all.end() - kGenerateVocab, all.end());
    expected.push_back(sample_token(scores, {}, o.sampler, stream.uniform(i)));
    tokens.push_back(expected.back());
  }
  std::vector<int64_t> layers;
  EXPECT_EQ(text(*model, {3, 1, 4}, o, &layers), expected);
  EXPECT_EQ(layers, std::vector<int64_t>(20, 1)) << "there is no other layer to answer";
}

TEST(Generate, SeesExactlyTheBlock) {
  const auto model = strong_model();
  const auto first_tokens = [&](const std::vector<int64_t>& start) {
    std::vector<int64_t> tokens;
    for (uint64_t i = 0; i < 500; ++i) tokens.push_back(text(*model, start, options(1, 1, i))[0]);
    return tokens;
  };
  const std::vector<int64_t> window = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<int64_t> longer = window, changed = window;
  longer.insert(longer.begin(), {9, 9, 9});
  changed[0] = 9;
  EXPECT_EQ(first_tokens(longer), first_tokens(window));
  EXPECT_NE(first_tokens(changed), first_tokens(window));
}

// The others go on as if they were alone.
TEST(Generate, ATokenMayEndItsText) {
  const auto model = strong_model();
  GenerateOptions o = options(30);
  o.window.capacity = 8;
  o.vocab_size = kGenerateVocab;
  std::vector<std::vector<int64_t>> grown(2), ended(2);
  const auto into = [](std::vector<std::vector<int64_t>>& texts) {
    return [&texts](size_t text, int64_t token, int64_t) { texts[text].push_back(token); };
  };
  generate(*model, {{1}, {2, 3}}, o, into(grown));
  const int64_t last = grown[0][9];
  o.ends = [&](size_t text, int64_t token) { return text == 0 && token == last; };
  const GenerateReport report = generate(*model, {{1}, {2, 3}}, o, into(ended));
  const auto first = std::find(grown[0].begin(), grown[0].end(), last);
  EXPECT_EQ(ended[0], std::vector<int64_t>(grown[0].begin(), first + 1));
  EXPECT_EQ(ended[1], grown[1]);
  EXPECT_EQ(report.tokens, int64_t(ended[0].size() + ended[1].size()));
}

TEST(Generate, NeverDrawsThePadding) {
  const auto model = strong_model();
  GenerateOptions o = options(300);
  o.sampler.temperature = 100;  // all but uniform
  o.vocab_size = 7;
  std::set<int64_t> seen;
  for (const int64_t token : text(*model, {1}, o)) seen.insert(token);
  EXPECT_EQ(seen, (std::set<int64_t>{0, 1, 2, 3, 4, 5, 6}));
}

TEST(Generate, TopOneIsTheSameForEverySeed) {
  const auto model = strong_model();
  GenerateOptions o = options(30), other = options(30, 99, 5);
  o.sampler.top_k = other.sampler.top_k = 1;
  EXPECT_EQ(text(*model, {1}, o), text(*model, {1}, other));
}

TEST(Generate, RefusesAVocabularyLargerThanTheModels) {
  const auto model = strong_model();
  GenerateOptions o = options(1);
  o.vocab_size = kGenerateVocab + 1;
  EXPECT_THROW(text(*model, {1}, o), Error);
}

// Which layer answers.

constexpr int64_t kGenerateLayers = 3;

std::unique_ptr<NextTokenModel> strong_exits(const ModelConfig& config) {
  auto model = model_of(config, kGenerateVocab, at::kDouble);
  disturb(*model, 0.3);
  return model;
}

// The first `n` layers as a model, whose last one is layer n - 1 of the other.
std::unique_ptr<NextTokenModel> first_layers(const NextTokenModel& model, ModelConfig config,
                                             int64_t n) {
  config.backbone.n_layer = n;
  if (!config.halting.thresholds.empty()) config.halting.thresholds.resize(size_t(n));
  auto first = model_of(config, kGenerateVocab, at::kDouble);
  const at::NoGradGuard no_grad;
  for (const Parameter& p : first->parameters().all())
    Tensor(p.tensor).copy_(model.parameters().at(p.spec.name));
  return first;
}

// Several thresholds, rules and masks that let every layer answer now and then.
std::vector<ModelConfig> exit_configs() {
  std::vector<ModelConfig> configs(4, exit_config(0.4, kGenerateLayers));
  configs[1].halting.thresholds = {0.4, 0.6, 0.9};
  configs[1].halting.mask_history = MaskHistory::kPrevious;
  configs[2].halting.temperature = 3;  // less sure of everything
  configs[2].halting.threshold = 0.17;
  configs[3].halting.rule = HaltRule::kGold;  // as kMax where there are no targets
  return configs;
}

TEST(NextToken, ComesFromTheFirstLayerThatIsConfident) {
  for (const ModelConfig& config : exit_configs()) {
    const auto model = strong_exits(config);
    std::vector<std::unique_ptr<NextTokenModel>> first;
    for (int64_t n = 1; n <= kGenerateLayers; ++n) first.push_back(first_layers(*model, config, n));
    std::vector<int64_t> answers(kGenerateLayers, 0);
    for (const int64_t T : {1, 4, 8}) {
      const int64_t B = 20;
      const Tensor tokens = random_tokens({B, T}, kGenerateVocab, unsigned(T));
      const NextToken next = model->next_token(tokens, Exit::kFirstConfident);
      ASSERT_EQ(next.scores_NV.sizes(), (std::vector<int64_t>{B, kGenerateVocab}));
      ASSERT_EQ(next.layer_N.sizes(), (std::vector<int64_t>{B}));
      for (int64_t b = 0; b < B; ++b) {
        int64_t layer = 0;
        Tensor scores;
        for (;; ++layer) {
          scores = first[size_t(layer)]->logits(tokens.narrow(0, b, 1))[0][T - 1];
          const double sure = (scores / config.halting.temperature).softmax(0).max().item<double>();
          if (sure >= config.halting.threshold_at(size_t(layer)) || layer + 1 == kGenerateLayers)
            break;
        }
        EXPECT_EQ(next.layer_N[b].item<int64_t>(), layer);
        EXPECT_LE(max_difference(next.scores_NV[b], scores), 1e-12);
        ++answers[size_t(layer)];
      }
    }
    EXPECT_THAT(answers, ::testing::Each(::testing::Gt(2))) << "a layer hardly ever answers";
  }
}

TEST(NextToken, ComesFromTheLastLayerIfToldSo) {
  for (const ModelConfig& config : exit_configs()) {
    const auto model = strong_exits(config);
    const Tensor tokens = random_tokens({20, 8}, kGenerateVocab, 1);
    const NextToken last = model->next_token(tokens, Exit::kLast);
    EXPECT_LE(max_difference(last.scores_NV, model->logits(tokens).select(1, 7)), 1e-12);
    EXPECT_EQ(numbers(last.layer_N), std::vector<double>(20, kGenerateLayers - 1));
    // Where nobody was confident before, the two agree.
    const NextToken first = model->next_token(tokens, Exit::kFirstConfident);
    for (int64_t b = 0; b < 20; ++b)
      EXPECT_EQ(max_difference(first.scores_NV[b], last.scores_NV[b]) <= 1e-12,
                first.layer_N[b].item<int64_t>() == kGenerateLayers - 1);
  }
}

TEST(NextToken, ThresholdsThatAreAlwaysAndNeverMet) {
  const Tensor tokens = random_tokens({20, 8}, kGenerateVocab, 1);
  const auto layers = [&](double threshold) {
    const auto model = strong_exits(exit_config(threshold, kGenerateLayers));
    return numbers(model->next_token(tokens, Exit::kFirstConfident).layer_N);
  };
  EXPECT_EQ(layers(0), std::vector<double>(20, 0));
  EXPECT_EQ(layers(1.1), std::vector<double>(20, kGenerateLayers - 1));
}

TEST(NextToken, WithoutAHaltingRuleTheLastLayerAnswers) {
  ModelConfig config = exit_config(0, kGenerateLayers);
  config.halting.rule = HaltRule::kNone;
  const auto model = strong_exits(config);
  const Tensor tokens = random_tokens({20, 8}, kGenerateVocab, 1);
  for (const Exit exit : {Exit::kFirstConfident, Exit::kLast}) {
    const NextToken next = model->next_token(tokens, exit);
    EXPECT_LE(max_difference(next.scores_NV, model->logits(tokens).select(1, 7)), 1e-12);
    EXPECT_EQ(numbers(next.layer_N), std::vector<double>(20, kGenerateLayers - 1));
  }
}

TEST(Generate, SaysWhichLayerAnswered) {
  const auto model = strong_exits(exit_config(0.4, kGenerateLayers));
  GenerateOptions o = options(60, 5);
  std::vector<int64_t> tokens = {3, 1, 4}, layers;
  const std::vector<int64_t> written = text(*model, tokens, o, &layers);
  ASSERT_EQ(layers.size(), written.size());
  const RandomStream stream(5, "sample/0");
  for (size_t i = 0; i < written.size(); ++i) {
    const std::vector<int64_t> seen(tokens.end() - std::min<int64_t>(8, int64_t(tokens.size())),
                                    tokens.end());
    const NextToken next = model->next_token(window_of(seen), Exit::kFirstConfident);
    const std::vector<double> wide = numbers(next.scores_NV);
    const std::vector<float> scores(wide.begin(), wide.end());
    EXPECT_EQ(written[i], sample_token(scores, {}, o.sampler, stream.uniform(i))) << i;
    EXPECT_EQ(layers[i], next.layer_N.item<int64_t>()) << i;
    tokens.push_back(written[i]);
  }
  EXPECT_EQ(std::set<int64_t>(layers.begin(), layers.end()), (std::set<int64_t>{0, 1, 2}));
}

TEST(Generate, FromTheLastLayerIfToldSo) {
  const auto model = strong_exits(exit_config(0.4, kGenerateLayers));
  // The same weights, but nothing is ever confident.
  const auto unsure = strong_exits(exit_config(1.1, kGenerateLayers));
  GenerateOptions first = options(60, 5), last = first;
  last.exit = Exit::kLast;
  std::vector<int64_t> layers;
  EXPECT_NE(text(*model, {3}, last, &layers), text(*model, {3}, first));
  EXPECT_EQ(layers, std::vector<int64_t>(60, kGenerateLayers - 1));
  EXPECT_EQ(text(*unsure, {3}, last), text(*unsure, {3}, first));
}

}  // namespace
}  // namespace fathom::testing
