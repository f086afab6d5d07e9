// Equal seeds give equal bits, for any fixed number of threads.
#include <cstring>

#include "fathom/train/gradients.h"
#include "fathom/train/optimizer.h"
#include "property/wiring_rows.h"

namespace fathom::property {
namespace {

// Every byte of weights, gradients and moments after so many optimiser steps.
std::string bytes_after_training(const ModelConfig& config, int64_t B, int64_t T, int64_t steps = 3,
                                 bool recompute = false) {
  const auto model = model_of(config, kVocab, at::kFloat, 3);
  disturb(*model, 0.3);
  Optimizer optimizer(model->parameters(), {});
  std::string bytes;
  const auto add = [&](const Tensor& x) {
    if (!x.defined()) return;
    const Tensor c = x.contiguous();
    bytes.append(static_cast<const char*>(c.data_ptr()), c.nbytes());
  };
  for (int64_t step = 0; step < steps; ++step) {
    const Batch batch = step == 1 ? ragged_batch(B, T, 9) : text_batch(B, T, unsigned(step));
    model->parameters().zero_grad();
    backward(objective(model->forward(batch, {true, RandomField(3, step, 0), recompute}).losses));
    for (const Parameter& p : model->parameters().all()) add(p.tensor.grad());
    optimizer.step(1e-2, clip_scale(gradient_norm(model->parameters()), 1));
  }
  for (const Optimizer::State& state : optimizer.state())
    for (const Tensor& kept : state.tensors) add(kept);
  for (const Parameter& p : model->parameters().all()) add(p.tensor);
  return bytes;
}

// Of a first step, in double precision.
std::vector<Tensor> gradients_of(const ModelConfig& config, bool recompute) {
  const auto model = model_of(config, kVocab, at::kDouble, 3);
  disturb(*model, 0.3);
  backward(objective(
      model->forward(text_batch(4, 7, 0), {true, RandomField(3, 0, 0), recompute}).losses));
  std::vector<Tensor> gradients;
  for (const Parameter& p : model->parameters().all()) gradients.push_back(p.tensor.grad());
  return gradients;
}

class SameBits : public ::testing::Test {
 protected:
  ~SameBits() override { set_threads(1); }
};

TEST_F(SameBits, OfTwoTrainings) {
  set_threads(1);
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const std::string once = bytes_after_training(c.config, 4, 7);
    EXPECT_TRUE(once == bytes_after_training(c.config, 4, 7));
  }
}

TEST_F(SameBits, OfTwoTrainingsOfEveryWiring) {
  const std::vector<Case> cases = preset_cases(true);
  for (const int threads : {1, 2}) {
    set_threads(threads);
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      const std::string once = bytes_after_training(c.config, 4, 7, 1);
      EXPECT_TRUE(once == bytes_after_training(c.config, 4, 7, 1));
    }
  }
  expect_all_wirings(cases);
}

// On a busy machine threads that share so little work mostly wait: one step each.
TEST_F(SameBits, OfTwoTrainingsWithTwoThreads) {
  set_threads(2);
  for (const Case& c : preset_cases()) {
    SCOPED_TRACE(c.name);
    const std::string once = bytes_after_training(c.config, 4, 7, 1);
    EXPECT_TRUE(once == bytes_after_training(c.config, 4, 7, 1));
  }
}

// Large enough for matrix products to be shared as well, and with everything that a layer may have.
TEST_F(SameBits, OfTwoTrainingsOfALargerModelWithTwoThreads) {
  set_threads(2);
  ModelConfig config = composed_cases().front().config;
  config.backbone.n_embd = 48;
  config.backbone.block_size = 33;
  config.backbone.dropout = 0.1;
  for (int64_t& width : config.early_exit.layer_widths) width *= 4;
  validate(config);
  EXPECT_TRUE(bytes_after_training(config, 8, 31) == bytes_after_training(config, 8, 31));
}

// Computing blocks again is computing the same: dropout, decisions and detached parts included.
TEST_F(SameBits, OfRecomputedBlocks) {
  set_threads(1);
  for (Case c : all_cases()) {
    SCOPED_TRACE(c.name);
    c.config.backbone.dropout = 0.1;
    EXPECT_TRUE(bytes_after_training(c.config, 4, 7) ==
                bytes_after_training(c.config, 4, 7, 3, /*recompute=*/true));
  }
}

TEST_F(SameBits, OfRecomputedBlocksOfEveryWiring) {
  set_threads(1);
  int same = 0;
  for (Case c : preset_cases(true)) {
    SCOPED_TRACE(c.name);
    c.config.backbone.dropout = 0.1;
    const SupervisionConfig& s = c.config.supervision;
    if (!s.has_objective() && s.layer_supervision.choice == "last") {
      ++same;
      EXPECT_TRUE(bytes_after_training(c.config, 4, 7, 1) ==
                  bytes_after_training(c.config, 4, 7, 1, /*recompute=*/true));
      continue;
    }
    // Where losses enter at several layers what they share, a norm or the stream, takes up their
    // gradients in another order.
    const std::vector<Tensor> a = gradients_of(c.config, false), b = gradients_of(c.config, true);
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].defined(), b[i].defined());
      EXPECT_LE(a[i].defined() ? relative_gap(a[i], b[i]) : 0, 1e-12);
    }
  }
  EXPECT_GE(same, 20);
}

// What the comparison is worth: another seed of dropout or data shows in it.
TEST_F(SameBits, AreNotThoseOfAnotherModel) {
  set_threads(1);
  ModelConfig config = exits();
  const std::string plain = bytes_after_training(config, 4, 7);
  config.backbone.dropout = 1e-9;  // drops nothing, and multiplies by one
  EXPECT_TRUE(plain == bytes_after_training(config, 4, 7));
  config.backbone.dropout = 0.1;
  EXPECT_FALSE(plain == bytes_after_training(config, 4, 7));
}

}  // namespace
}  // namespace fathom::property
