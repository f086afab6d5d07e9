// Scores of endings against fp64 passes of the model itself and against numbers worked out by hand;
// and what layers guess.
#include "fathom/study/score_choices.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "fathom/study/guess_layers.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kLetters = 11;

std::unique_ptr<Tokenizer> letters_and_space() {
  return Tokenizer::from_json(nlohmann::json({{"kind", "char"}, {"characters", " abcdefghij"}}));
}

const std::vector<Choice>& some_questions() {
  static const std::vector<Choice> questions = {
      {"abc", {"de", "fghi", "a"}, 1}, {"jihgfedcba", {"bcd", "e"}, 0}, {"a", {"b", "c"}, 1}};
  return questions;
}

// One row, without padding, targets or a batch.
double ln_p_of_ending(const NextTokenModel& model, const ChoiceRows::Row& row,
                      std::optional<int64_t> first = {}) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> seen(row.tokens.begin(), row.tokens.end() - 1);
  if (first) seen.insert(seen.begin(), *first);
  const Tensor ln_p_TV =
      at::log_softmax(model.logits(index_tensor(seen, at::kCPU).unsqueeze(0))[0], -1);
  double sum = 0;
  for (size_t t = row.ending_at; t < row.tokens.size(); ++t)
    sum += ln_p_TV[int64_t(t) - (first ? 0 : 1)][row.tokens[t]].item<double>();
  return sum;
}

TEST(ScoreChoices, AreWhatTheModelSaysOfEachRowByItself) {
  const auto tokenizer = letters_and_space();
  ModelConfig far = untied_config();
  far.ahead.predict_ahead = true;
  far.ahead.max_shift = 2;
  for (const ModelConfig& config : {untied_config(), exit_config(0.3), far}) {
    const bool ahead = config.ahead.predict_ahead;
    const auto model = model_of(config, kLetters + config.ahead.shift_tokens(), at::kDouble);
    disturb(*model, 0.3);
    ScoreChoicesOptions options;
    if (ahead) options.shifted_vocab = kLetters;
    const auto scores = score_choices(*model, *tokenizer, some_questions(), 8, options);
    ASSERT_EQ(scores.size(), 3U);
    options.batch_size = 1;
    const auto alone = score_choices(*model, *tokenizer, some_questions(), 8, options);
    for (size_t q = 0; q < scores.size(); ++q) {
      const ChoiceRows rows = choice_rows(*tokenizer, some_questions()[q], ahead ? 7 : 8, "q");
      EXPECT_EQ(scores[q].cut, rows.cut);
      ASSERT_EQ(scores[q].ln_p.size(), rows.rows.size());
      for (size_t i = 0; i < rows.rows.size(); ++i) {
        const double expected =
            ln_p_of_ending(*model, rows.rows[i], ahead ? std::optional(kLetters) : std::nullopt);
        EXPECT_NEAR(scores[q].ln_p[i], expected, 1e-9) << q << " " << i;
        EXPECT_NEAR(alone[q].ln_p[i], expected, 1e-9);
        EXPECT_EQ(scores[q].tokens[i], int64_t(some_questions()[q].endings[i].size()) + 1);
      }
    }
    EXPECT_GT(scores[1].cut, 0);
  }
}

// A model that says the same whatever it sees: a space 1/2, a 1/4, b 1/8, any other letter 1/64.
TEST(ScoreChoices, OfKnownProbabilitiesAreTheirLogarithms) {
  const auto tokenizer = letters_and_space();
  const auto model = model_of(untied_config(), kLetters, at::kDouble);
  {
    const at::NoGradGuard no_grad;
    for (const Tensor& t : tensors_of(*model)) t.zero_();
    const Tensor bias = model->parameters().find("head.0.bias");
    for (int64_t v = 0; v < kLetters; ++v)
      bias.data_ptr<double>()[v] = -std::log(2.0) * (v < 3 ? static_cast<double>(v + 1) : 6);
  }
  const auto scores = score_choices(*model, *tokenizer, {{"j", {"c", "a a", "b"}, 2}}, 8, {});
  const double bit = std::log(2.0);
  EXPECT_NEAR(scores[0].ln_p[0], -7 * bit, 1e-12);  // " c": 1 + 6
  EXPECT_NEAR(scores[0].ln_p[1], -6 * bit, 1e-12);  // " a a": 1 + 2 + 1 + 2
  EXPECT_NEAR(scores[0].ln_p[2], -4 * bit, 1e-12);  // " b": 1 + 3
  EXPECT_EQ(scores[0].chosen(), 1U);
  EXPECT_EQ(scores[0].chosen_by_sum(), 2U);
}

TEST(ScoreChoices, AQuestionThatDoesNotFitIsNamed) {
  const auto model = model_of(untied_config(), kLetters, at::kDouble);
  EXPECT_THAT(error_of([&] {
                score_choices(*model, *letters_and_space(),
                              {{"a", {"b", "c"}, 0}, {"a", {"b", "abcdefgh"}, 0}}, 8, {});
              }),
              HasSubstr("question 2: an ending has 9 tokens, and the model sees 8 at once"));
  const std::vector<Choice> read = read_choices(
      "\n{\"ctx\": \"a\", \"endings\": [\"b\", \"\u00e9\"], \"label\": 0}\n", "h.jsonl");
  EXPECT_THAT(error_of([&] { score_choices(*model, *letters_and_space(), read, 8, {}); }),
              HasSubstr("h.jsonl, line 2: "));
}

TEST(GuessLayers, EndWithWhatTheModelSays) {
  const auto tokenizer = letters_and_space();
  for (const ModelConfig& config : {untied_config(), exit_config(0.3)}) {
    const auto model = model_of(config, kLetters, at::kDouble);
    disturb(*model, 0.3);
    const auto* walked = dynamic_cast<const DepthModel*>(model.get());
    ASSERT_NE(walked, nullptr);
    const std::vector<int64_t> text = {1, 4, 9, 2, 5, 3};
    const GuessTable table = guess_layers(*walked, *tokenizer, text, 4);
    EXPECT_EQ(table.seen, (std::vector<std::string>{"i", "b", "e", "c"}));
    ASSERT_EQ(table.layers.size(), 3U);
    EXPECT_EQ(table.layers[1].name, "1");
    EXPECT_EQ(table.layers[0].own, config.early_exit.layer_heads);
    EXPECT_TRUE(table.layers[1].own);
    const Tensor p_TV =
        model->logits(index_tensor(text, at::kCPU).unsqueeze(0))[0].detach().softmax(-1);
    for (size_t k = 0; k < 4; ++k) {
      const Tensor p_V = p_TV[int64_t(k) + 2];
      for (const size_t row : {size_t{1}, size_t{2}}) {
        EXPECT_EQ(table.layers[row].guesses[k].token, p_V.argmax().item<int64_t>());
        EXPECT_NEAR(table.layers[row].guesses[k].p, p_V.max().item<double>(), 1e-9);
      }
      const GuessTable::Guess& first = table.layers[0].guesses[k];
      EXPECT_GE(first.p, 1. / kLetters);
      EXPECT_EQ(first.text, std::string(1, " abcdefghij"[first.token]));
    }
    EXPECT_EQ(guess_layers(*walked, *tokenizer, {7}, 8).seen.size(), 1U);
  }
}

// One layer deep and two deep with the same last norm and head: the first layer's lens is the
// shallower model.
TEST(GuessLayers, AreReadAsIfTheyWereTheLast) {
  const auto tokenizer = letters_and_space();
  ModelConfig shallow = untied_config();
  shallow.backbone.n_layer = 1;
  const auto deep = model_of(untied_config(), kLetters, at::kDouble);
  const auto one = model_of(shallow, kLetters, at::kDouble);
  disturb(*deep, 0.3);
  {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : one->parameters().all())
      p.tensor.copy_(deep->parameters().find(p.spec.name));
  }
  const auto guesses = [&](const NextTokenModel& model) {
    return guess_layers(dynamic_cast<const DepthModel&>(model), *tokenizer, {1, 4, 9, 2}, 4);
  };
  const GuessTable lens = guesses(*deep), whole = guesses(*one);
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(lens.layers[0].guesses[k].token, whole.layers[0].guesses[k].token);
    EXPECT_NEAR(lens.layers[0].guesses[k].p, whole.layers[0].guesses[k].p, 1e-9);
  }
}

}  // namespace
}  // namespace fathom::testing
