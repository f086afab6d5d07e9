// The table of a model's layers, against the model's own answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "errors.h"
#include "fathom/study/trace_text.h"
#include "property/presets.h"

namespace fathom::property {
namespace {

class TraceText : public PropertyTest {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ =
      Tokenizer::from_json(nlohmann::json({{"kind", "char"}, {"characters", "abcdefghijk"}}));
};

TEST_F(TraceText, SaysWhatNextTokenSays) {
  for (const Case& c : all_cases()) {
    if (!c.grows()) continue;
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    const Tensor text = random_tokens({kBlock + 1}, kVocab, 3);
    const std::vector<int64_t> tokens(text.data_ptr<int64_t>(),
                                      text.data_ptr<int64_t>() + kBlock + 1);
    const ExitTable table = trace_text(s.depth(), *tokenizer_, tokens, 3);
    ASSERT_EQ(table.rows.size(), size_t(kBlock));
    EXPECT_EQ(table.thresholds.size(), c.acts() ? table.layers.size() : 0U);
    EXPECT_EQ(table.rule.empty(), !c.acts() || c.halts()) << "what a score is";
    if (!table.names.empty()) {  // it loops
      const std::set<std::string> different(table.names.begin(), table.names.end());
      EXPECT_EQ(different.size(), table.layers.size());
      EXPECT_EQ(table.depth(), int(s.depth().program().depth()));
    }
    for (int64_t t = 0; t < kBlock; ++t) {
      const ExitRow& row = table.rows[size_t(t)];
      const NextToken next =
          s.model->next_token(text.narrow(0, 0, t + 1).unsqueeze(0), Exit::kFirstConfident);
      const Tensor p = next.scores_NV[0].softmax(0);
      EXPECT_EQ(table.layers[row.exit], next.layer_N[0].item<int64_t>()) << t;
      EXPECT_EQ(row.predicted(), std::string(1, char('a' + p.argmax().item<int64_t>())));
      EXPECT_NEAR(row.p_predicted(), p.max().item<double>(), 1e-9);
      EXPECT_NEAR(row.answer().p_truth, p[tokens[size_t(t) + 1]].item<double>(), 1e-9);
      EXPECT_EQ(row.truth, std::string(1, char('a' + tokens[size_t(t) + 1])));
      EXPECT_EQ(row.right, row.truth == row.predicted());
      EXPECT_EQ(row.token, tokens[size_t(t) + 1]);
      for (size_t i = 0; c.halts() && i < row.layers.size(); ++i) {
        const bool confident = row.layers[i].score >= table.thresholds[i];
        EXPECT_TRUE(i >= row.exit || !confident);
        EXPECT_TRUE(i != row.exit || row.confident == confident);
      }
      EXPECT_EQ(row.answer().best.size(), 3U);
      EXPECT_GE(row.answer().best[0].p, row.answer().best[1].p);
    }
  }
}

// What the layers that are shown have is what generation tells, and no draw.
TEST_F(TraceText, ShowsTheLargestShareOfWhatAllAnswer) {
  for (Case c : composed_cases()) {
    if (c.config.halting.rule != HaltRule::kBernoulli) continue;
    SCOPED_TRACE(c.name);
    c.config.halting.in_eval = HaltInEval::kExpect;
    const Subject s = subject(c, text_batch(6, kBlock, 5), at::kDouble);
    const Tensor text = random_tokens({kBlock + 1}, kVocab, 3);
    const std::vector<int64_t> tokens(text.data_ptr<int64_t>(),
                                      text.data_ptr<int64_t>() + kBlock + 1);
    const ExitTable table = trace_text(s.depth(), *tokenizer_, tokens, 3);
    EXPECT_THAT(table.rule, ::testing::HasSubstr("share"));
    for (int64_t t = 0; t < kBlock; ++t) {
      const ExitRow& row = table.rows[size_t(t)];
      const NextToken next =
          s.model->next_token(text.narrow(0, 0, t + 1).unsqueeze(0), Exit::kFirstConfident);
      EXPECT_EQ(table.layers[row.exit], next.layer_N[0].item<int64_t>()) << t;
      EXPECT_TRUE(row.confident);
      double left = 1, most = 0;
      size_t largest = 0;
      for (size_t i = 0; i < row.layers.size(); ++i) {
        const double share = i + 1 < row.layers.size() ? left * row.layers[i].score : left;
        if (share > most) most = share, largest = i;
        left -= share;
      }
      EXPECT_EQ(row.exit, largest) << t;
    }
  }
}

// Each row as generation would have it.
TEST_F(TraceText, OfMoreThanTheWindowSlides) {
  const Subject s = subject(composed_cases().front(), text_batch(6, kBlock, 5), at::kDouble);
  const int64_t N = kBlock + 5;
  const Tensor text = random_tokens({N}, kVocab, 3);
  const std::vector<int64_t> tokens(text.data_ptr<int64_t>(), text.data_ptr<int64_t>() + N);
  const ExitTable table = trace_long_text(s.depth(), *tokenizer_, tokens, kBlock, 3);
  ASSERT_EQ(table.rows.size(), size_t(N - 1));
  for (int64_t t = 0; t + 1 < N; ++t) {
    const int64_t begin = std::max<int64_t>(0, t + 1 - kBlock);
    const NextToken next = s.model->next_token(text.narrow(0, begin, t + 1 - begin).unsqueeze(0),
                                               Exit::kFirstConfident);
    const ExitRow& row = table.rows[size_t(t)];
    EXPECT_EQ(table.layers[row.exit], next.layer_N[0].item<int64_t>()) << t;
    EXPECT_EQ(row.answer().best.front().token, next.scores_NV[0].argmax().item<int64_t>()) << t;
    EXPECT_EQ(row.token, tokens[size_t(t) + 1]);
  }
}

TEST_F(TraceText, NeedsSomethingToPredict) {
  const Subject s = subject(composed_cases().front(), text_batch(6, kBlock, 5), at::kDouble);
  EXPECT_THAT(error_of([&] { trace_text(s.depth(), *tokenizer_, {1}, 3); }),
              ::testing::HasSubstr("1 tokens"));
}

}  // namespace
}  // namespace fathom::property
