// Sizes of a model's walk against plain loops over its states, and against the trainer's gradients.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "errors.h"
#include "fathom/ops/plain.h"
#include "fathom/study/sizes/size_facts.h"
#include "fathom/study/training_samples.h"
#include "fathom/study/walk_sizes.h"
#include "model/walking.h"
#include "track/notebook_reader.h"

namespace fathom::testing {
namespace {

constexpr int64_t kSizedVocab = 11, kSizedSequences = 2;

struct SizedModel {
  std::unique_ptr<NextTokenModel> model = model_of(tied_config(), kSizedVocab, at::kDouble);
  Batch batch = batch_of(random_tokens({kSizedSequences, 8}, kSizedVocab, 3),
                         random_tokens({kSizedSequences, 8}, kSizedVocab, 4));

  SizedModel() {
    disturb(*model, 0.3);
    batch.targets_BT.data_ptr<int64_t>()[5] = -1;
  }
  const DepthModel& walk() const { return depth(*model); }
  SizeFacts facts(const SizeOptions& options = {}) const {
    WalkSizes sizes(walk(), options);
    sizes.add(batch);
    return sizes.facts();
  }
};

// By rows, as written down.
Size size_by_loops(const Tensor& x_RC) {
  const int64_t R = x_RC.size(0), C = x_RC.size(1);
  const Tensor x = x_RC.detach().contiguous();
  const double* at = x.data_ptr<double>();
  Size size;
  double squares = 0, deviations = 0;
  size.largest = 0;
  for (int64_t i = 0; i < R; ++i) {
    double mean = 0, off = 0;
    for (int64_t c = 0; c < C; ++c) mean += at[i * C + c] / double(C);
    for (int64_t c = 0; c < C; ++c) {
      const double v = at[i * C + c];
      squares += v * v;
      off += (v - mean) * (v - mean);
      size.largest = std::max(size.largest, std::abs(v));
    }
    deviations += std::sqrt(off / double(C - 1));
  }
  size.rms = std::sqrt(squares / double(R * C));
  size.sd = deviations / double(R);
  return size;
}

void expect_size(const Size& is, const Size& should) {
  EXPECT_NEAR(is.rms, should.rms, 1e-12 * should.rms);
  EXPECT_NEAR(is.sd, should.sd, 1e-12 * should.sd);
  EXPECT_EQ(is.largest, should.largest);
}

TEST(WalkSizesOfAModel, AreThoseOfItsStates) {
  const SizedModel m;
  const SizeFacts facts = m.facts();
  Kept kept = {"door", "n", "a", "m", "r", "head"};
  WalkOptions options;
  options.observe = kept.observer();
  const at::NoGradGuard no_grad;
  m.walk().walk().run(m.walk().program(), m.batch, options);
  ASSERT_EQ(facts.steps.size(), 2U);
  EXPECT_EQ(facts.rows, kSizedSequences * 8);
  EXPECT_EQ(facts.targets, kSizedSequences * 8 - 1);
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(i);
    const StepSizes& step = facts.steps[size_t(i)];
    const Tensor before = kept.door(i)->travel.carry.r_RC, after = kept.at(i, "r");
    const Tensor delta = after - before;
    EXPECT_EQ(step.name, std::to_string(i));
    expect_size(step.before, size_by_loops(before));
    expect_size(step.n, size_by_loops(kept.at(i, "n")));
    expect_size(step.after, size_by_loops(after));
    expect_size(step.delta, size_by_loops(delta));
    std::map<std::string, Size> values;
    for (const NamedSize& value : step.values) values[value.name] = value.size;
    expect_size(values.at("a"), size_by_loops(kept.at(i, "a")));
    expect_size(values.at("m"), size_by_loops(kept.at(i, "m")));
    expect_size(values.at("r"), size_by_loops(kept.all(i, "r").at(0)));
    double cosines = 0;
    for (int64_t row = 0; row < delta.size(0); ++row)
      cosines += ((delta[row] * before[row]).sum() / (delta[row].norm() * before[row].norm()))
                     .item<double>();
    EXPECT_NEAR(step.cosine, cosines / double(delta.size(0)), 1e-12);
    EXPECT_GT(step.effective_rank, 1);
    EXPECT_LE(step.effective_rank, 16);
    EXPECT_EQ(step.norm_eps, 1e-5);
    for (const NamedHistogram& named : step.histograms) {
      int64_t all = named.histogram.below + named.histogram.above;
      for (const int64_t count : named.histogram.counts) all += count;
      EXPECT_EQ(all, delta.numel()) << named.name;
    }
  }
}

TEST(WalkSizesOfAModel, LossesAreThoseOfTheLastNormAndHead) {
  const SizedModel m;
  const SizeFacts facts = m.facts();
  EXPECT_NEAR(facts.loss, mean_loss(*m.model, m.batch), 1e-10);
  EXPECT_NEAR(facts.steps.back().lens, facts.loss, 1e-10);
  EXPECT_NEAR(facts.steps.back().readout, facts.loss, 1e-10);
  EXPECT_TRUE(std::isnan(facts.steps.front().readout));
  Kept kept = {"r"};
  WalkOptions options;
  options.observe = kept.observer();
  const at::NoGradGuard no_grad;
  const DepthWalk& walk = m.walk().walk();
  walk.run(m.walk().program(), m.batch, options);
  const ReadoutSpec& last = *m.walk().program().steps.back().layer.readout;
  const Tensor n = norm(kept.at(0, "r"), walk.params().norm(last.norm), walk.settings());
  const Tensor ln_p = at::log_softmax(n.matmul(walk.params().head.at(last.head).weight.t()), -1);
  double nats = 0;
  for (int64_t i = 0; i < ln_p.size(0); ++i) {
    const int64_t target = m.batch.targets_BT.data_ptr<int64_t>()[i];
    if (target >= 0) nats -= ln_p[i][target].item<double>();
  }
  EXPECT_NEAR(facts.steps.front().lens, nats / double(facts.targets), 1e-10);
}

TEST(WalkSizesOfAModel, GradientsAreTheTrainers) {
  SizedModel m;
  m.batch = batch_of(m.batch.tokens_BT.narrow(0, 0, 1), m.batch.targets_BT.narrow(0, 0, 1));
  const SizeFacts facts = m.facts();
  const ModelOutput output = m.model->forward(m.batch, {});
  (output.losses.at(0).sum / output.losses.at(0).count).backward();
  std::map<std::string, double> squares;
  for (const Parameter& p : m.model->parameters().all()) {
    ASSERT_TRUE(p.tensor.grad().defined()) << p.spec.name;
    const std::string& name = p.spec.name;
    for (const PartGradient& part : facts.gradients)
      if (name.rfind(part.name + ".", 0) == 0)
        squares[part.name] += p.tensor.grad().square().sum().item<double>();
  }
  ASSERT_EQ(squares.size(), facts.gradients.size());
  int64_t parameters = 0;
  for (const PartGradient& part : facts.gradients) {
    EXPECT_NEAR(part.norm, std::sqrt(squares.at(part.name)), 1e-10) << part.name;
    parameters += part.parameters;
  }
  int64_t all = 0;
  for (const Parameter& p : m.model->parameters().all()) all += p.tensor.numel();
  EXPECT_EQ(parameters, all);
  // A sequence's positions are added to the first carry, and to nothing else.
  EXPECT_NEAR(facts.steps.front().gradient, std::sqrt(squares.at("position_table")), 1e-10);
  for (const StepSizes& step : facts.steps) EXPECT_GT(step.gradient, 0);
}

TEST(WalkSizesOfAModel, AGradientThatIsCutOffIsNotKnown) {
  ModelConfig config = exit_config(0.3);
  config.early_exit.detach_between_layers = true;
  const auto model = model_of(config, kSizedVocab, at::kDouble);
  WalkSizes sizes(depth(*model), {});
  sizes.add(SizedModel().batch);
  const SizeFacts facts = sizes.facts();
  EXPECT_TRUE(std::isnan(facts.steps.front().gradient));
  EXPECT_GT(facts.steps.back().gradient, 0) << "its table is read behind the cut";
  for (const PartGradient& part : facts.gradients) {
    if (part.name == "attention.0" || part.name == "mlp.0") {
      EXPECT_TRUE(std::isnan(part.norm)) << part.name;
    } else if (part.name == "attention.1" || part.name == "mlp.1") {
      EXPECT_GT(part.norm, 0) << part.name;
    }
  }
}

// A float32 carry of 10^14 keeps nothing of what blocks of ordinary size add; that is lost, and
// nothing is where they add 0.
TEST(WalkSizesOfAModel, WhatRoundingTookIsLostAndNothingIsNot) {
  const auto model = model_of(tied_config(), kSizedVocab);
  disturb(*model, 0.3);
  SizeOptions options;
  options.gradients = false;
  const auto facts_with = [&](const std::string& prefix, double factor) {
    {
      const at::NoGradGuard no_grad;
      for (const Parameter& p : model->parameters().all())
        if (p.spec.name.rfind(prefix, 0) == 0) Tensor(p.tensor).mul_(factor);
    }
    WalkSizes sizes(depth(*model), options);
    sizes.add(SizedModel().batch);
    return sizes.facts();
  };
  const SizeFacts large = facts_with("token_table", 1e15);
  EXPECT_TRUE(large.steps[0].adds);
  EXPECT_EQ(large.steps[0].lost_float32, 1);
  facts_with("attention.0", 0);
  const SizeFacts nothing = facts_with("mlp.0", 0);
  EXPECT_FALSE(nothing.steps[0].adds);
  EXPECT_EQ(nothing.steps[0].lost_float32, 0);
  EXPECT_EQ(nothing.steps[0].lost_bfloat16, 0);
  EXPECT_TRUE(nothing.steps[1].adds);
  EXPECT_EQ(nothing.steps[0].read_eps, 0);
  EXPECT_EQ(nothing.steps[1].read_eps, 1e-5);
}

TEST(WalkSizesOfAModel, BatchesAddUpAndPaddingDoesNotCount) {
  SizedModel m;
  const SizeFacts whole = m.facts();
  WalkSizes sizes(m.walk(), {});
  for (int64_t b = 0; b < kSizedSequences; ++b)
    sizes.add(batch_of(m.batch.tokens_BT.narrow(0, b, 1), m.batch.targets_BT.narrow(0, b, 1)));
  const SizeFacts parts = sizes.facts();
  EXPECT_NEAR(parts.loss, whole.loss, 1e-10);
  EXPECT_NEAR(parts.steps[1].after.rms, whole.steps[1].after.rms, 1e-10);
  EXPECT_NEAR(parts.steps[1].cosine, whole.steps[1].cosine, 1e-10);
  for (size_t i = 0; i < whole.gradients.size(); ++i)
    EXPECT_NEAR(parts.gradients[i].norm, whole.gradients[i].norm, 1e-10);
  // The last position is padding.
  m.batch.targets_BT.narrow(1, 7, 1).fill_(-1);
  const Batch shorter =
      batch_of(m.batch.tokens_BT.narrow(1, 0, 7), m.batch.targets_BT.narrow(1, 0, 7));
  m.batch.valid_BT = m.batch.tokens_BT >= 0;
  m.batch.valid_BT.narrow(1, 7, 1).fill_(false);
  const SizeFacts padded = m.facts();
  m.batch = shorter;
  const SizeFacts without = m.facts();
  EXPECT_EQ(padded.rows, without.rows);
  EXPECT_NEAR(padded.steps[1].delta.sd, without.steps[1].delta.sd, 1e-10);
  EXPECT_NEAR(padded.steps[1].effective_rank, without.steps[1].effective_rank, 1e-8);
}

TEST(WalkSizesOfAModel, ANearZeroAttentionAndANormWithoutItsWeights) {
  SizedModel m;
  {
    const at::NoGradGuard no_grad;
    for (const Parameter& p : m.model->parameters().all()) {
      Tensor t = p.tensor;
      if (p.spec.name.rfind("norm_in", 0) == 0) t.fill_(1);
      if (p.spec.name.rfind("token_table", 0) == 0) t.mul_(1e3);
    }
  }
  SizeOptions options;
  options.eps = 1e9;
  options.gradients = false;
  const SizeFacts facts = m.facts(options);
  EXPECT_EQ(facts.steps[0].near_zero, 1);
  EXPECT_TRUE(facts.gradients.empty());
  // Unit variance over C channels is C / (C - 1) of the unbiased kind: 1.00065 of 768.
  EXPECT_NEAR(facts.steps[0].n.sd, std::sqrt(16.0 / 15), 1e-8);
  EXPECT_NEAR(std::sqrt(768.0 / 767), 1.00065, 5e-6);
  options.eps = 1e-300;
  EXPECT_EQ(m.facts(options).steps[0].near_zero, 0);
}

TEST(SamplesOfTraining, SayTheSizesThatTheWalkHas) {
  const SizedModel m;
  const TrainingSamples samples(m.walk(), nullptr, kSizedVocab, std::nullopt, std::nullopt);
  const std::vector<std::string> lines = samples.notebook();
  WalkSizes sizes(m.walk(), {});
  Batch prompt;
  prompt.tokens_BT = index_tensor({0}, at::kCPU).unsqueeze(0);
  sizes.add(prompt);
  const SizeFacts facts = sizes.facts();
  ASSERT_GE(lines.size(), 8U);
  for (size_t i = 0; i < 2; ++i) {
    const NotebookSizes said = read_notebook_sizes(lines[i], lines[2 + 3 * i]);
    EXPECT_NEAR(said.previous, facts.steps[i].after.sd, 1e-12);
    EXPECT_NEAR(said.delta, facts.steps[i].delta.sd, 1e-12);
    if (i == 0) {
      EXPECT_NEAR(said.next, facts.steps[1].n.sd, 1e-12);
    }
    for (const NamedSize& value : facts.steps[i].values) {
      if (value.name != "r") continue;
      EXPECT_NEAR(said.middle, value.size.sd, 1e-12);
    }
  }
  EXPECT_THAT(lines.back(), ::testing::HasSubstr("rank 0 sample 0: [0]["));
  EXPECT_THAT(error_of([&] {
                TrainingSamples(m.walk(), nullptr, kSizedVocab, std::string("x"), std::nullopt);
              }),
              ::testing::HasSubstr("sample_prompt"));
  const auto letters =
      Tokenizer::from_json(nlohmann::json({{"kind", "char"}, {"characters", " abcdefghij"}}));
  EXPECT_THAT(caught([&] {
                TrainingSamples(m.walk(), letters.get(), kSizedVocab, std::string("\u00e9"),
                                std::nullopt);
              }).what(),
              ::testing::HasSubstr("sample_prompt = "));
}

std::vector<std::string> guesses_in(const std::vector<std::string>& lines,
                                    const std::string& layer) {
  std::vector<std::string> found;
  for (const std::string& line : lines)
    if (line.rfind(layer + ":", 0) == 0) found.push_back(line);
  return found;
}

TEST(SamplesOfTraining, LayersKeepTheirNumbersAndAreReadByTheirOwnHeads) {
  ModelConfig widths = untied_config();
  widths.backbone.n_layer = 3;
  widths.early_exit.layer_widths = {8, 16, 16};
  const auto wide = model_of(widths, kSizedVocab, at::kDouble);
  const auto said =
      TrainingSamples(depth(*wide), nullptr, kSizedVocab, std::nullopt, std::nullopt).notebook();
  EXPECT_THAT(guesses_in(said, "layer 0"), ::testing::IsEmpty()) << "nobody reads 8 channels";
  for (const char* layer : {"layer 1", "layer 2", "answer"})
    EXPECT_EQ(guesses_in(said, layer).size(), 2U) << layer;

  const auto own = model_of(exit_config(0.3), kSizedVocab, at::kDouble);
  const StepSpec& first = depth(*own).program().steps[0];
  {
    const at::NoGradGuard no_grad;
    const std::string bias = "head." + std::to_string(first.layer.readout->head) + ".bias";
    Tensor(own->parameters().find(bias)).data_ptr<double>()[5] = 1e3;
  }
  const auto lines =
      TrainingSamples(depth(*own), nullptr, kSizedVocab, std::nullopt, std::nullopt).notebook();
  EXPECT_EQ(guesses_in(lines, "layer 0").at(0), "layer 0: '[5]' 1.00");
  EXPECT_THAT(guesses_in(lines, "answer").at(0),
              ::testing::Not(::testing::HasSubstr("'[5]' 1.00")));
}

}  // namespace
}  // namespace fathom::testing
