// The plain operations against loops in double precision, their gradients against differences, and
// the random field that dropout reads.
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/kernels/random_field.h"
#include "fathom/model/random_field.h"
#include "fathom/ops/plain.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

// A scalar that depends on every element of `out` differently.
Tensor weighted_sum(const Tensor& out) {
  return (out * random_normal(out.sizes(), 99)).sum();
}

Tensor leaf(at::IntArrayRef shape, unsigned seed) {
  return random_normal(shape, seed).set_requires_grad(true);
}

void expect_near(const Tensor& actual, const std::vector<double>& expected, double tolerance) {
  EXPECT_LE(max_difference(actual, tensor_of(expected, actual.sizes())), tolerance);
}

TEST(Linear, AgreesWithLoops) {
  const Tensor x = leaf({2, 3, 4}, 1), w = leaf({5, 4}, 2), b = leaf({5}, 3);
  std::vector<double> expected;
  for (int row = 0; row < 6; ++row)
    for (int out = 0; out < 5; ++out) {
      double sum = numbers(b)[size_t(out)];
      for (int in = 0; in < 4; ++in)
        sum += numbers(x)[size_t(row * 4 + in)] * numbers(w)[size_t(out * 4 + in)];
      expected.push_back(sum);
    }
  expect_near(linear(x, w, b), expected, 1e-13);
  EXPECT_LE(max_difference(linear(x, w, Tensor()) + b, linear(x, w, b)), 1e-13);
  expect_gradients([&] { return weighted_sum(linear(x, w, b)); }, {x, w, b}, 5);
}

TEST(LayerNorm, AgreesWithLoops) {
  const int C = 7;
  const double eps = 0.01;  // large enough to be noticed
  const Tensor x = leaf({2, 3, C}, 1), w = leaf({C}, 2), b = leaf({C}, 3);
  const std::vector<double> in = numbers(x), weight = numbers(w), bias = numbers(b);
  std::vector<double> expected;
  for (size_t row = 0; row < 6; ++row) {
    double mean = 0, variance = 0;
    for (size_t c = 0; c < C; ++c) mean += in[row * C + c] / C;
    for (size_t c = 0; c < C; ++c) variance += std::pow(in[row * C + c] - mean, 2) / C;
    for (size_t c = 0; c < C; ++c)
      expected.push_back((in[row * C + c] - mean) / std::sqrt(variance + eps) * weight[c] +
                         bias[c]);
  }
  expect_near(layer_norm(x, w, b, eps), expected, 1e-13);
  EXPECT_LE(max_difference(layer_norm(x, w, Tensor(), eps) + b, layer_norm(x, w, b, eps)), 1e-13);
  expect_gradients([&] { return weighted_sum(layer_norm(x, w, b, eps)); }, {x, w, b}, 12);
}

TEST(Gelu, BothFormsAgreeWithTheirFormulas) {
  const Tensor x = tensor_of({-6, -3, -1, -0.1, 0, 0.1, 0.7, 2, 5}, {9}).set_requires_grad(true);
  std::vector<double> exact, tanh_form;
  for (const double v : numbers(x)) {
    exact.push_back(v / 2 * (1 + std::erf(v / std::sqrt(2.0))));
    tanh_form.push_back(v / 2 *
                        (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * std::pow(v, 3)))));
  }
  expect_near(gelu(x, GeluForm::kExact), exact, 1e-14);
  expect_near(gelu(x, GeluForm::kTanh), tanh_form, 1e-14);
  for (const GeluForm form : {GeluForm::kExact, GeluForm::kTanh})
    expect_gradients([&] { return weighted_sum(gelu(x, form)); }, {x}, 9);
}

// `multipliers` (B, H, T, T) of the attention weights; empty: all ones.
std::vector<double> attention_by_loops(const Tensor& q, const Tensor& k, const Tensor& v, size_t H,
                                       const std::vector<double>& multipliers) {
  const auto B = size_t(q.size(0)), T = size_t(q.size(1)), C = size_t(q.size(2)), D = C / H;
  const std::vector<double> Q = numbers(q), K = numbers(k), V = numbers(v);
  std::vector<double> out(B * T * C, 0.0);
  for (size_t b = 0; b < B; ++b)
    for (size_t h = 0; h < H; ++h)
      for (size_t t = 0; t < T; ++t) {
        std::vector<double> weight(t + 1);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          double score = 0;
          for (size_t d = 0; d < D; ++d)
            score += Q[(b * T + t) * C + h * D + d] * K[(b * T + s) * C + h * D + d];
          sum += weight[s] = std::exp(score / std::sqrt(double(D)));
        }
        for (size_t s = 0; s <= t; ++s) {
          const double m = multipliers.empty() ? 1.0 : multipliers[((b * H + h) * T + t) * T + s];
          for (size_t d = 0; d < D; ++d)
            out[(b * T + t) * C + h * D + d] +=
                weight[s] / sum * m * V[(b * T + s) * C + h * D + d];
        }
      }
  return out;
}

struct Shape {
  int64_t B, T, H, D;
};

TEST(CausalAttention, AgreesWithLoopsAtAllSizes) {
  // One position; T below, at and above D; odd numbers everywhere.
  for (const Shape s :
       {Shape{2, 1, 2, 3}, {1, 3, 2, 8}, {2, 5, 1, 5}, {3, 7, 3, 5}, {1, 33, 1, 1}}) {
    const Tensor q = leaf({s.B, s.T, s.H * s.D}, 1), k = leaf({s.B, s.T, s.H * s.D}, 2),
                 v = leaf({s.B, s.T, s.H * s.D}, 3);
    SCOPED_TRACE(::testing::Message() << "T = " << s.T << ", D = " << s.D);
    const auto H = static_cast<size_t>(s.H);
    expect_near(causal_attention(q, k, v, s.H, {}), attention_by_loops(q, k, v, H, {}), 1e-12);
    // Views into one tensor, as the model passes them.
    const Tensor qkv = leaf({s.B, s.T, 3 * s.H * s.D}, 4);
    const std::vector<Tensor> parts = qkv.chunk(3, -1);
    expect_near(causal_attention(parts[0], parts[1], parts[2], s.H, {}),
                attention_by_loops(parts[0], parts[1], parts[2], H, {}), 1e-12);
    expect_gradients([&] { return weighted_sum(causal_attention(q, k, v, s.H, {})); }, {q, k, v},
                     12);
  }
}

TEST(CausalAttention, DropoutMultipliesTheWeightsAfterSoftmax) {
  const Tensor q = leaf({2, 5, 6}, 1), k = leaf({2, 5, 6}, 2), v = leaf({2, 5, 6}, 3);
  const DropoutField field = RandomField(7, 0, 0).dropout("here", 0.4);
  const std::vector<double> multipliers = numbers(field({2, 2, 5, 5}, q));
  expect_near(causal_attention(q, k, v, 2, field), attention_by_loops(q, k, v, 2, multipliers),
              1e-12);
  expect_gradients([&] { return weighted_sum(causal_attention(q, k, v, 2, field)); }, {q, k, v},
                   12);
}

TEST(CrossEntropy, IsZeroWhereThereIsNoTarget) {
  const int64_t V = 5;
  const Tensor logits = leaf({2, 3, V}, 1);
  const Tensor targets = random_tokens({2, 3}, V, 2);
  targets.data_ptr<int64_t>()[1] = targets.data_ptr<int64_t>()[5] = -1;
  const std::vector<double> score = numbers(logits);
  std::vector<double> expected;
  for (size_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (size_t i = 0; i < V; ++i) sum += std::exp(score[row * V + i]);
    const int64_t target = targets.data_ptr<int64_t>()[row];
    expected.push_back(target < 0 ? 0 : std::log(sum) - score[row * V + size_t(target)]);
  }
  expect_near(cross_entropy(logits, targets), expected, 1e-13);
  expect_gradients([&] { return weighted_sum(cross_entropy(logits, targets)); }, {logits}, 30);
  const Tensor row = logits.grad().select(0, 0).select(0, 1);
  EXPECT_EQ(row.abs().max().item<double>(), 0.0) << "an ignored row has a gradient";
}

TEST(CrossEntropy, SurvivesLargeScores) {
  const Tensor logits = tensor_of({1e4, 0, -1e4}, {1, 3});
  const auto loss = [&](int64_t target) {
    return cross_entropy(logits, at::empty({1}, at::TensorOptions(at::kLong)).fill_(target))
        .item<double>();
  };
  EXPECT_EQ(loss(0), 0.0);
  EXPECT_EQ(loss(2), 2e4);
}

// The random field.

std::vector<double> mask(const RandomField& field, const std::string& site, double p,
                         at::IntArrayRef shape) {
  return numbers(field.dropout(site, p)(shape, at::empty({0}, at::TensorOptions(at::kFloat))));
}

TEST(Dropout, ValuesAndShareOfZeros) {
  for (const double p : {0.1, 0.5, 0.9}) {
    const std::vector<double> m = mask(RandomField(1, 2, 3), "site", p, {8, 50, 100});
    const auto n = static_cast<double>(m.size());
    double zeros = 0;
    for (const double v : m) {
      EXPECT_TRUE(v == 0 || v == static_cast<float>(1 / (1 - p))) << v;
      zeros += v == 0;
    }
    EXPECT_NEAR(zeros / n, p, 4 * std::sqrt(p * (1 - p) / n));
  }
}

TEST(Dropout, IsIndependentBetweenSitesStepsSequencesAndSeeds) {
  const double p = 0.3;
  const std::vector<int64_t> shape = {1, 10000};
  const std::vector<double> m = mask(RandomField(1, 5, 2), "mlp_out.0", p, shape);
  const auto expect_independent = [&](const std::vector<double>& other) {
    double differ = 0;
    for (size_t i = 0; i < m.size(); ++i) differ += m[i] != other[i];
    const auto n = static_cast<double>(m.size());
    const double share = 2 * p * (1 - p);
    EXPECT_NEAR(differ / n, share, 4 * std::sqrt(share * (1 - share) / n));
  };
  expect_independent(mask(RandomField(1, 5, 2), "mlp_out.1", p, shape));
  expect_independent(mask(RandomField(1, 6, 2), "mlp_out.0", p, shape));
  expect_independent(mask(RandomField(1, 5, 3), "mlp_out.0", p, shape));
  expect_independent(mask(RandomField(1, 2, 5), "mlp_out.0", p, shape));  // not their sum
  expect_independent(mask(RandomField(2, 5, 2), "mlp_out.0", p, shape));
  EXPECT_EQ(mask(RandomField(1, 5, 2), "mlp_out.0", p, shape), m);
}

TEST(Dropout, DoesNotDependOnHowABatchIsSplit) {
  const auto rows = [](int64_t count, int64_t first) {
    return mask(RandomField(1, 4, first), "attention_out.0", 0.5, {count, 3, 7});
  };
  std::vector<double> split = rows(1, 10);
  for (const double v : rows(3, 11)) split.push_back(v);
  EXPECT_EQ(split, rows(4, 10));
}

TEST(Dropout, NoProbabilityIsNoOperation) {
  EXPECT_FALSE(RandomField(1, 2, 3).dropout("site", 0.0));
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_TRUE(apply_dropout(x, {}).is_same(x));
}

TEST(Dropout, KeepsTheTypeOfWhatItMultiplies) {
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_EQ(apply_dropout(x, RandomField(1, 2, 3).dropout("site", 0.5)).scalar_type(), at::kDouble);
}

TEST(FillDropout, AnyPartEqualsTheWhole) {
  const size_t n = 41;
  std::vector<float> whole(n);
  fill_dropout(whole, 0.5, 3, 4, 0);
  for (size_t first = 0; first < n; ++first)
    for (size_t count = 0; first + count <= n; ++count) {
      std::vector<float> part(count);
      fill_dropout(part, 0.5, 3, 4, first);
      const auto begin = whole.begin() + static_cast<int64_t>(first);
      ASSERT_EQ(part, std::vector<float>(begin, begin + static_cast<int64_t>(count)))
          << first << ", " << count;
    }
  std::vector<float> other(n);
  fill_dropout(other, 0.5, 3, 5, 0);
  EXPECT_NE(other, whole);
}

}  // namespace
}  // namespace fathom::testing
