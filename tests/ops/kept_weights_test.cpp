// Weights that are kept packed: the same bits as without, and never those of yesterday.
#include "fathom/ops/kept_weights.h"

#include <c10/core/InferenceMode.h>

#include "ops/twins.h"

namespace fathom::testing {
namespace {

struct Step {
  Tensors values, gradients;
};

// A layer that is used `times` times, forward and backward, and a head.
Step walk(const Tensors& weights, int times) {
  Step step;
  Tensors leaves;
  for (const Tensor& w : weights) {
    Tensor leaf = w;
    leaf.mutable_grad() = Tensor();
    leaves.push_back(leaf);
  }
  Tensor x = random_normal({40, 24}, 7).to(at::kFloat);
  for (int i = 0; i < times; ++i)
    x = linear(mlp(x, {leaves[0], {}, leaves[1], {}}, GeluForm::kExact), leaves[2], Tensor());
  ReadoutRequest request;
  request.ids_R = random_tokens({40}, 50, 3);
  const Reading first = readout(x, leaves[3], {}, request),
                second = readout(x, leaves[3], {}, request);
  step.values = {x.detach(), first.ln_p_R.detach()};
  backward(first.ln_p_R.sum() + second.ln_p_R.sum());
  for (const Tensor& leaf : leaves) step.gradients.push_back(leaf.grad().clone());
  return step;
}

class KeptWeightsTest : public Twins {
 protected:
  KeptWeightsTest() {
    for (const auto& [out, in] : {std::pair{96, 24}, {24, 96}, {24, 24}, {50, 24}})
      weights_.push_back(
          random_normal({out, in}, unsigned(out)).to(at::kFloat).set_requires_grad(true));
  }
  static int64_t bytes_of(const Tensor& w) {
    return int64_t(PackedMatrix::bytes_for(row_major(nullptr, w.size(1), w.size(0))));
  }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const Tensor& w : weights_) sum += bytes_of(w);
    return sum;
  }
  static void expect_same(const Step& a, const Step& b) {
    for (size_t i = 0; i < a.values.size(); ++i) EXPECT_TRUE(same_bits(a.values[i], b.values[i]));
    for (size_t i = 0; i < a.gradients.size(); ++i)
      EXPECT_TRUE(same_bits(a.gradients[i], b.gradients[i])) << i;
  }

  Tensors weights_;
};

TEST_F(KeptWeightsTest, GiveTheSameBits) {
  for (const Isa isa : usable_isas()) {
    const ChosenIsa chosen(isa);
    const Step expected = walk(weights_, 3);
    KeptWeights kept(KeptWeights::kNoLimit);
    for (int i = 0; i < 3; ++i) {
      const KeptWeights::Use use(kept);
      expect_same(walk(weights_, 3), expected);
    }
    EXPECT_GT(kept.bytes(), bytes());  // the layer's in both directions, and the head
  }
}

TEST_F(KeptWeightsTest, AreThoseOfNow) {
  KeptWeights kept(KeptWeights::kNoLimit);
  for (int i = 0; i < 4; ++i) {
    const Step expected = walk(weights_, 3);
    const KeptWeights::Use use(kept);
    expect_same(walk(weights_, 3), expected);
    const at::NoGradGuard no_grad;
    for (Tensor& w : weights_) w.mul_(1.5);
  }
  // The optimiser's step changes them where they are.
  const Tensor m = at::zeros(weights_[0].sizes(), at::TensorOptions(at::kFloat)), v = m.clone();
  AdamWStep step;
  step.step_size = 0.1, step.eps = 1e-8;
  adamw(step, weights_[0], m, v);
  const Step expected = walk(weights_, 3);
  const KeptWeights::Use use(kept);
  expect_same(walk(weights_, 3), expected);
}

// One use is not worth it, and a limit is one.
TEST_F(KeptWeightsTest, KeepWhatIsUsedAgainAndFits) {
  KeptWeights kept(KeptWeights::kNoLimit);
  const Tensor x = random_normal({2, 24}, 1).to(at::kFloat);
  const auto product = [&](const Tensor& w) { return linear(x, w, Tensor()); };
  const at::NoGradGuard no_grad;
  {
    const KeptWeights::Use use(kept);
    product(weights_[0]);
    EXPECT_EQ(kept.bytes(), 0);
    product(weights_[0]);
    EXPECT_EQ(kept.bytes(), bytes_of(weights_[0]));
    product(weights_[0]);
    EXPECT_EQ(kept.bytes(), bytes_of(weights_[0]));
  }
  product(weights_[3]);  // nobody keeps it
  product(weights_[3]);
  {
    const KeptWeights::Use use(kept);
    product(weights_[2]);
    EXPECT_EQ(kept.bytes(), bytes_of(weights_[0]));
  }
  EXPECT_GT(kept.bytes(), 0) << "it may come again";
  for (int i = 0; i < KeptWeights::kMostIdle; ++i) {
    const KeptWeights::Use use(kept);
  }
  EXPECT_EQ(kept.bytes(), 0) << "not used for long";

  KeptWeights small(bytes_of(weights_[2]));
  const KeptWeights::Use use(small);
  for (int i = 0; i < 3; ++i)
    for (const size_t w : {0, 2, 3}) product(weights_[w]);
  EXPECT_EQ(small.bytes(), bytes_of(weights_[2]));
}

// Views into one weight, and the same memory seen in other shapes, are weights of their own.
TEST_F(KeptWeightsTest, PartsAreTheirOwn) {
  KeptWeights kept(KeptWeights::kNoLimit);
  const Tensor x = random_normal({2, 24}, 1).to(at::kFloat);
  const at::NoGradGuard no_grad;
  const Tensor whole = weights_[0].detach();
  const Tensors parts = {whole, whole.narrow(0, 0, 30), whole.narrow(0, 30, 66)};
  Tensors expected;
  for (const Tensor& w : parts) expected.push_back(linear(x, w, Tensor()));
  const KeptWeights::Use use(kept);
  for (int i = 0; i < 3; ++i)
    for (size_t w = 0; w < parts.size(); ++w)
      EXPECT_TRUE(same_bits(linear(x, parts[w], Tensor()), expected[w]));
  EXPECT_EQ(kept.bytes(), bytes_of(parts[0]) + bytes_of(parts[1]) + bytes_of(parts[2]));
}

// As a decoder has it: no graph is possible, a use for every token, and weights that someone loads
// others into in between.
TEST_F(KeptWeightsTest, InInferenceMode) {
  KeptWeights kept(KeptWeights::kNoLimit);
  const Tensor x = random_normal({1, 24}, 1).to(at::kFloat);
  for (int token = 0; token < 6; ++token) {
    if (token == 3) {
      const at::NoGradGuard no_grad;
      weights_[0].mul_(-2);
    }
    const c10::InferenceMode no_graph;
    const Tensor part = weights_[0].narrow(0, 8, 40), computed = weights_[0] * 2,
                 turned = weights_[1].t();
    const Tensors all = {weights_[0], part, computed, turned};
    Tensors expected;
    for (const Tensor& w : all) expected.push_back(linear(x, w, Tensor()));
    const KeptWeights::Use use(kept);
    for (size_t i = 0; i < all.size(); ++i)
      EXPECT_TRUE(same_bits(linear(x, all[i], Tensor()), expected[i])) << token << " " << i;
  }
  EXPECT_EQ(kept.bytes(), bytes_of(weights_[0]) + bytes_of(weights_[0].narrow(0, 8, 40)));
}

}  // namespace
}  // namespace fathom::testing
