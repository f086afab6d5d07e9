// Training on rows of prompts and answers, whose lengths differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/rows_testing.h"
#include "train/testing.h"

namespace fathom::testing {
namespace {

class RowsTest : public TrainTest {
 protected:
  Corpus rows(const std::vector<Row>& some, const std::string& name) {
    return rows_corpus(temp_ / name, some, *byte_pairs());
  }
  RunConfig config(int64_t batch, int64_t mini) {
    RunConfig c = tiny_run();
    c.model.backbone.block_size = 32;
    c.data.batch_size = batch;
    c.data.mini_batch_size = mini;
    return c;
  }
  StepResult step(const Corpus& corpus, const RunConfig& c) {
    return first_step(Trainer(c, corpus, kEnd + 1, ""));
  }
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double out = 0;
  for (size_t i = 0; i < a.size(); ++i) out = std::max(out, std::abs(a[i] - b[i]));
  return out;
}

const std::vector<Row> kUneven = {answer("a", "b"), answer("long question", "no"),
                                  answer("q", "a much longer answer"), answer("x", "yes"),
                                  answer("seven", "eight")};

// Each row's mean alone; a step by tokens weighs them by their targets, one by minibatches of one
// row weighs them alike.
TEST_F(RowsTest, AStepIsTheMeanThatLossNormSays) {
  const Corpus all = rows(kUneven, "all");
  for (const bool prompts : {true, false}) {
    std::vector<double> by_tokens, by_rows;
    std::vector<std::vector<double>> means;  // of each row alone
    std::vector<double> counts;
    double targets = 0, sum = 0;
    for (size_t i = 0; i < kUneven.size(); ++i) {
      RunConfig c = config(1, 1);
      c.data.include_prompts = prompts;
      const StepResult one = step(rows({kUneven[i]}, "row" + std::to_string(i)), c);
      const Row& row = kUneven[i];
      const auto n = static_cast<double>((prompts ? row.prompt.size() : 0) + row.truth.size() + 1);
      by_tokens.resize(one.gradient.size());
      by_rows.resize(one.gradient.size());
      for (size_t k = 0; k < one.gradient.size(); ++k) {
        by_tokens[k] += n * one.gradient[k];
        by_rows[k] += one.gradient[k] / 5;
      }
      means.push_back(one.gradient);
      counts.push_back(n);
      targets += n;
      sum += n * one.report.loss;
    }
    for (double& g : by_tokens) g /= targets;
    const auto of = [&](LossNorm norm, int64_t mini) {
      RunConfig c = config(5, mini);
      c.data.include_prompts = prompts;
      c.training.loss_norm = norm;
      return step(all, c);
    };
    for (const int64_t mini : {5, 2, 1}) {
      const StepResult token = of(LossNorm::kToken, mini);
      EXPECT_LT(largest_difference(token.gradient, by_tokens), 1e-6) << mini;
      EXPECT_NEAR(token.report.loss, sum / targets, 1e-5);
      EXPECT_NEAR(of(LossNorm::kMinibatch, mini).report.loss, sum / targets, 1e-5)
          << "what is reported does not depend on the split";
    }
    EXPECT_LT(largest_difference(of(LossNorm::kMinibatch, 1).gradient, by_rows), 1e-6);
    EXPECT_LT(largest_difference(of(LossNorm::kMinibatch, 5).gradient, by_tokens), 1e-6);
    // Two, two and one: each weighs as many rows as it has.
    std::vector<double> by_twos(by_tokens.size());
    for (size_t i = 0; i < kUneven.size(); ++i) {
      const size_t first = i / 2 * 2, end = std::min(first + 2, kUneven.size());
      double n = 0;
      for (size_t j = first; j < end; ++j) n += counts[j];
      const double weight = counts[i] / n * static_cast<double>(end - first) / 5;
      for (size_t k = 0; k < by_twos.size(); ++k) by_twos[k] += weight * means[i][k];
    }
    EXPECT_LT(largest_difference(of(LossNorm::kMinibatch, 2).gradient, by_twos), 1e-6);
    EXPECT_GT(largest_difference(by_tokens, by_rows), 1e-4) << "or the case says nothing";
  }
}

TEST_F(RowsTest, OfRowsOfOneLengthEverySplitIsTheSameStep) {
  const Corpus all = rows({answer("ab", "cd"), answer("ef", "gh"), answer("ij", "kl"),
                           answer("mn", "op"), answer("qr", "st")},
                          "even");
  const std::vector<double> whole = step(all, config(5, 5)).gradient;
  for (const int64_t mini : {5, 2, 1}) {
    RunConfig c = config(5, mini);
    c.training.loss_norm = LossNorm::kMinibatch;
    EXPECT_LT(largest_difference(step(all, c).gradient, whole), 1e-6) << mini;
  }
}

TEST_F(RowsTest, TwentyRowsAreLearnedByHeart) {
  std::vector<Row> twenty;
  for (int i = 0; i < 20; ++i)
    twenty.push_back(answer(std::string(1, static_cast<char>('a' + i)),
                            "is " + std::to_string(i * 7 % 20) + " of them"));
  RunConfig c = config(20, 20);
  c.data.include_prompts = false;
  c.training.max_iters = 150;
  c.training.eval_interval = 150;
  c.training.eval_iters = 1;
  c.schedule.decay_lr = false;
  History history;
  Trainer(c, rows(twenty, "twenty"), kEnd + 1, "").run(history.events());
  const Evaluation &before = history.evaluations.front().of("train"),
                   &after = history.evaluations.back().of("train");
  EXPECT_LT(before.value("word_accuracy"), 0.3);
  EXPECT_LT(after.loss, 0.1);
  EXPECT_GT(after.value("word_accuracy"), 0.95);
  EXPECT_GT(after.accuracy(), 0.95);
}

// An epoch is every row once, and a step that goes beyond the last row begins anew.
TEST_F(RowsTest, EpochsCountRows) {
  RunConfig c = config(2, 2);
  RunPlan plan = {{{"only", c, {Budget::Unit::kEpochs, 1.2}, {rows(kUneven, "all")}}}, {}};
  Trainer t(plan, kEnd + 1, "");
  t.run({});
  EXPECT_EQ(t.state().step, 3);
  EXPECT_EQ(t.state().progress.samples, 6);
}

// LMPlay's batcher: what is left of a long row when a batch is full is left out.
TEST_F(RowsTest, FreshRowsBeginEveryStep) {
  const Corpus long_ones = rows({answer("a", std::string(100, 'x')), answer("b", "c")}, "long");
  for (const bool fresh : {false, true}) {
    RunConfig c = config(1, 1);
    c.training.max_iters = 2;
    c.data.fresh_rows = fresh;
    Trainer t(c, long_ones, kEnd + 1, "");
    t.run({});
    EXPECT_EQ(t.state().progress.samples, fresh ? 2 : 1);
  }
}

}  // namespace
}  // namespace fathom::testing
