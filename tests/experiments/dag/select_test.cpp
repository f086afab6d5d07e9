// Choosing as a mixture, by noise and for good; what is hidden; how sure a choice can be.
#include "experiments/dag/select.h"

#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>

#include "experiments/dag/numbers.h"

namespace fathom::testing::dag_select {
namespace {

using dag::Select;
using dag::SelectOptions;

constexpr Select kWays[] = {Select::kSoft, Select::kGumbel, Select::kGumbelSt, Select::kStArgmax};

Tensor gumbel_uniform(at::IntArrayRef shape, unsigned seed) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kDouble));
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<double> uniform;
  for (int64_t i = 0; i < t.numel(); ++i) t.data_ptr<double>()[i] = uniform(generator);
  return t;
}

SelectOptions way(Select select, const Tensor& uniform = {}) {
  SelectOptions options;
  options.select = select, options.uniform = uniform;
  return options;
}

TEST(Selecting, GivesRowsThatAddUpToOneAndZerosWhereHidden) {
  const Tensor uniform = gumbel_uniform({5, 3, 4}, 2), hidden = hidden_slots(3);
  for (const Select select : kWays)
    for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      Tensor logits = (3 * random_normal({5, 3, 4}, 1)).to(type).set_requires_grad(true);
      const Tensor share = dag::select(logits, hidden, way(select, uniform));
      EXPECT_EQ(share.scalar_type(), type == at::kDouble ? at::kDouble : at::kFloat);
      EXPECT_EQ(share.sizes(), logits.sizes());
      const Tensor one = at::full({5, 3}, 1, share.options().requires_grad(false));
      EXPECT_LE(max_difference(share.sum(-1), one), 1e-6);
      EXPECT_EQ(share.masked_select(hidden).abs().sum().item<double>(), 0);

      backward((share * random_normal({5, 3, 4}, 3).to(share.scalar_type())).sum());
      EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>());
      EXPECT_EQ(logits.grad().masked_select(hidden).abs().sum().item<double>(), 0);
      const Tensor other = logits.detach() + 5 * hidden.to(type);
      EXPECT_TRUE(same_bits(dag::select(other, hidden, way(select, uniform)), share));
    }
}

TEST(Selecting, SoftIsATemperedSoftmax) {
  const Tensor logits = random_normal({7, 5}, 1);
  SelectOptions options;
  options.softmax_temperature = 3;
  EXPECT_LE(max_difference(dag::select(logits, {}, options),
                           at::softmax(logits * (std::sqrt(5.0) / 3), -1)),
            1e-14);
}

// The largest share of one in five at the default temperature, by what the logits' type holds.
TEST(Selecting, HasTheCeilingsOfItsTypes) {
  for (const auto& [type, ceiling] :
       {std::pair{at::kHalf, 0.60}, {at::kBFloat16, 0.956}, {at::kFloat, 0.9995}}) {
    const Tensor logits = tensor_of({1000, -1000, -1000, -1000, -1000}, {1, 5}).to(type);
    EXPECT_NEAR(dag::select(logits, {}, {}).max().item<double>(), ceiling, 1e-3);
  }
}

TEST(Selecting, ForGoodIsOneHotWithTheSoftGradient) {
  const Tensor weight = random_normal({20, 6}, 7), uniform = gumbel_uniform({20, 6}, 8);
  for (const auto& [hard, soft] :
       {std::pair{Select::kGumbelSt, Select::kGumbel}, {Select::kStArgmax, Select::kSoft}}) {
    Tensor a = random_normal({20, 6}, 6).set_requires_grad(true);
    Tensor b = a.detach().clone().set_requires_grad(true);
    const Tensor chosen = dag::select(a, {}, way(hard, uniform));
    const Tensor share = dag::select(b, {}, way(soft, uniform));
    int64_t ones = 0;
    for (const double x : numbers(chosen)) {
      EXPECT_TRUE(x == 0 || x == 1) << x;
      ones += x == 1;
    }
    EXPECT_EQ(ones, 20);
    EXPECT_TRUE(same_bits(chosen.argmax(-1), share.argmax(-1)));
    backward((weight * chosen).sum());
    backward((weight * share).sum());
    EXPECT_TRUE(same_bits(a.grad(), b.grad()));
    EXPECT_GT(a.grad().abs().min().item<double>(), 0);
  }
}

TEST(Selecting, GradientsAreThoseOfDifferences) {
  const Tensor weight = random_normal({4, 5}, 1), uniform = gumbel_uniform({4, 5}, 2);
  const Tensor logits = random_normal({4, 5}, 3).set_requires_grad(true);
  for (const Select select : {Select::kSoft, Select::kGumbel})
    expect_gradients([&] { return (weight * dag::select(logits, {}, way(select, uniform))).sum(); },
                     {logits}, 20);
}

TEST(Selecting, ApproachesTheArgmaxAsTheTemperatureFalls) {
  const Tensor logits = random_normal({50, 4}, 1), uniform = gumbel_uniform({50, 4}, 2);
  for (const auto& [soft, hard] :
       {std::pair{Select::kSoft, Select::kStArgmax}, {Select::kGumbel, Select::kGumbelSt}}) {
    const Tensor chosen = dag::select(logits, {}, way(hard, uniform));
    double before = 2;
    for (const double temperature : {1.0, 0.1, 1e-4}) {
      SelectOptions options = way(soft, uniform);
      options.softmax_temperature = options.gumbel_temperature = temperature;
      const double distance = max_difference(dag::select(logits, {}, options), chosen);
      EXPECT_LT(distance, before);
      before = distance;
    }
    EXPECT_LE(before, 1e-6);
  }
}

TEST(Selecting, WithoutUniformNumbersHasNoNoise) {
  const Tensor logits = random_normal({6, 4}, 1);
  EXPECT_LE(
      max_difference(dag::select(logits, {}, way(Select::kGumbel)), at::softmax(logits / 2, -1)),
      1e-15);
  EXPECT_TRUE(
      same_bits(dag::select(logits, {}, way(Select::kGumbelSt)).argmax(-1), logits.argmax(-1)));
  for (const Select select : {Select::kSoft, Select::kStArgmax})
    EXPECT_TRUE(same_bits(dag::select(logits, {}, way(select, gumbel_uniform({6, 4}, 2))),
                          dag::select(logits, {}, way(select))));
}

// The argmax of logits and Gumbel's noise is a draw from their softmax: Pearson's chi-square of 3
// degrees of freedom is below 16.27 but once in a thousand seeds.
TEST(Selecting, GumbelsArgmaxHasTheFrequenciesOfTheSoftmax) {
  constexpr int64_t kDraws = 20000;
  const Tensor logits = tensor_of({0.5, -1, 1.2, 0}, {1, 4});
  const Tensor drawn = dag::select(logits.expand({kDraws, 4}), {},
                                   way(Select::kGumbelSt, gumbel_uniform({kDraws, 4}, 11)));
  const std::vector<double> count = numbers(drawn.sum(0));
  const std::vector<double> probability = numbers(at::softmax(logits, -1));
  double chi_square = 0;
  for (size_t i = 0; i < 4; ++i) {
    const double expected = kDraws * probability[i];
    chi_square += (count[i] - expected) * (count[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 16.27);
}

// 0, and 1, to which half precision rounds what is below it.
TEST(Selecting, TakesUniformNumbersFromEndToEnd) {
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    Tensor logits = random_normal({2, 3}, 1).to(type).set_requires_grad(true);
    const Tensor uniform = tensor_of({0, 0, 0, 1, 0.5, 1}, {2, 3}).to(type);
    for (const Select select : {Select::kGumbel, Select::kGumbelSt}) {
      const Tensor share = dag::select(logits, {}, way(select, uniform));
      backward(share.square().sum());
      EXPECT_TRUE(at::isfinite(share).all().item<bool>());
      EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>());
    }
  }
}

TEST(GumbelTemperature, GoesFromBeginToEndAndNeverBack) {
  for (const auto& [begin, end] : {std::pair{2.0, 0.5}, {0.5, 2.0}, {2.0, 2.0}}) {
    EXPECT_EQ(dag::temperature_at(begin, end, 0, 100), begin);
    EXPECT_NEAR(dag::temperature_at(begin, end, 50, 100), std::sqrt(begin * end), 1e-12);
    EXPECT_EQ(dag::temperature_at(begin, end, 100, 100), end);
    EXPECT_EQ(dag::temperature_at(begin, end, 1000, 100), end);
    for (int64_t step = 1; step <= 100; ++step) {
      const double now = dag::temperature_at(begin, end, step, 100);
      const double change = now - dag::temperature_at(begin, end, step - 1, 100);
      EXPECT_TRUE(begin > end ? change < 0 : begin < end ? change > 0 : change == 0) << step;
    }
  }
  EXPECT_EQ(dag::temperature_at(2, 0.5, 0, 0), 0.5);  // at once
}

}  // namespace
}  // namespace fathom::testing::dag_select
