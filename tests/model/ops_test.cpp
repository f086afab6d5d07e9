// The plain operations against loops in double precision, and their gradients against differences.
#include <ATen/ops/eye.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "fathom/model/walk/places.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/model/walk/readout.h"
#include "fathom/model/walk/rows.h"
#include "fathom/ops/plain.h"
#include "model/testing.h"
#include "ops/described.h"
#include "ops/testing.h"

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
  // What a matrix product under autocast gave is narrower than the weights.
  const Tensor narrow = x.detach().to(at::kBFloat16);
  const Tensor of_narrow = layer_norm(narrow, w.to(at::kFloat), b.to(at::kFloat), eps);
  EXPECT_EQ(of_narrow.scalar_type(), at::kFloat);
  EXPECT_LT(max_difference(of_narrow, layer_norm(narrow.to(at::kFloat), w.to(at::kFloat),
                                                 b.to(at::kFloat), eps)),
            1e-6);
}

TEST(Gelu, BothFormsAgreeWithTheirFormulas) {
  const Tensor x = tensor_of({-6, -3, -1, -0.1, 0, 0.1, 0.7, 2, 5}, {9}).set_requires_grad(true);
  std::vector<double> exact, tanh_form;
  for (const double v : numbers(x)) {
    exact.push_back(v / 2 * (1 + std::erf(v / std::sqrt(2.0))));
    tanh_form.push_back(v / 2 *
                        (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * std::pow(v, 3)))));
  }
  expect_near(plain::gelu(x, GeluForm::kExact), exact, 1e-14);
  expect_near(plain::gelu(x, GeluForm::kTanh), tanh_form, 1e-14);
  for (const GeluForm form : {GeluForm::kExact, GeluForm::kTanh})
    expect_gradients([&] { return weighted_sum(plain::gelu(x, form)); }, {x}, 9);
}

// Attention. B sequences, Q queries, K keys, H heads, D and E channels of a head's keys and values.

Tensor bools(const std::vector<bool>& values, at::IntArrayRef shape) {
  const Tensor t = at::empty(shape, at::TensorOptions(at::kBool));
  std::copy(values.begin(), values.end(), t.data_ptr<bool>());
  return t;
}

// True where hidden(b, q, k); (Q, K) if B is 0.
template <class Hidden>
Tensor blocked(int64_t B, int64_t Q, int64_t K, const Hidden& hidden) {
  std::vector<bool> values;
  for (int64_t b = 0; b < std::max<int64_t>(B, 1); ++b)
    for (int64_t q = 0; q < Q; ++q)
      for (int64_t k = 0; k < K; ++k) values.push_back(hidden(b, q, k));
  return B == 0 ? bools(values, {Q, K}) : bools(values, {B, Q, K});
}

Tensor causal(int64_t T) {
  return blocked(0, T, T, [](int64_t, int64_t q, int64_t k) { return k > q; });
}

// Only over the keys that are not blocked; zeros for a query that has none. `multipliers`
// (B, H, Q, K) of the attention weights; undefined: all ones.
Tensor attention_by_loops(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t H,
                          const Tensor& mask, const Tensor& multipliers) {
  const int64_t B = q_BQC.size(0), Q = q_BQC.size(1), K = k_BKC.size(1);
  const int64_t D = q_BQC.size(2) / H, E = v_BKC.size(2) / H;
  const std::vector<double> q = numbers(q_BQC), k = numbers(k_BKC), v = numbers(v_BKC);
  const std::vector<double> hidden = numbers(mask.expand({B, Q, K}));
  const std::vector<double> m =
      multipliers.defined() ? numbers(multipliers) : std::vector<double>();
  std::vector<double> out(size_t(B * Q * H * E), 0.0);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t i = 0; i < Q; ++i) {
        std::vector<double> weight(size_t(K), 0.0);
        double sum = 0;
        for (int64_t j = 0; j < K; ++j) {
          if (hidden[size_t((b * Q + i) * K + j)] != 0) continue;
          double score = 0;
          for (int64_t d = 0; d < D; ++d)
            score +=
                q[size_t(((b * Q + i) * H + h) * D + d)] * k[size_t(((b * K + j) * H + h) * D + d)];
          sum += weight[size_t(j)] = std::exp(score / std::sqrt(double(D)));
        }
        for (int64_t j = 0; j < K; ++j) {
          if (weight[size_t(j)] == 0) continue;
          const double kept = m.empty() ? 1 : m[size_t(((b * H + h) * Q + i) * K + j)];
          for (int64_t e = 0; e < E; ++e)
            out[size_t(((b * Q + i) * H + h) * E + e)] +=
                weight[size_t(j)] / sum * kept * v[size_t(((b * K + j) * H + h) * E + e)];
        }
      }
  return tensor_of(out, {B, Q, H * E});
}

// Values, and gradients of all three against differences. `hidden` is what the mask describes.
void expect_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t H,
                      const AttentionMask& mask, const Tensor& hidden,
                      const Tensor& multipliers = {}) {
  EXPECT_LE(max_difference(plain::attention(q, k, v, H, mask, multipliers),
                           attention_by_loops(q, k, v, H, hidden, multipliers)),
            1e-12);
  expect_gradients([&] { return weighted_sum(plain::attention(q, k, v, H, mask, multipliers)); },
                   {q, k, v}, 12);
}

struct OpsShape {
  int64_t B, T, H, D;
};

TEST(Attention, AgreesWithLoopsAtAllSizes) {
  // One position; T below, at and above D; odd numbers everywhere.
  for (const OpsShape s :
       {OpsShape{2, 1, 2, 3}, {1, 3, 2, 8}, {2, 5, 1, 5}, {3, 7, 3, 5}, {1, 33, 1, 1}}) {
    SCOPED_TRACE(::testing::Message() << "T = " << s.T << ", D = " << s.D);
    const int64_t C = s.H * s.D;
    expect_attention(leaf({s.B, s.T, C}, 1), leaf({s.B, s.T, C}, 2), leaf({s.B, s.T, C}, 3), s.H,
                     Described(s.B, s.T, s.T), causal(s.T));
    // Views into one tensor, as the model passes them.
    const Tensor qkv = leaf({s.B, s.T, 3 * C}, 4);
    const std::vector<Tensor> parts = qkv.chunk(3, -1);
    EXPECT_LE(max_difference(
                  plain::attention(parts[0], parts[1], parts[2], s.H, Described(s.B, s.T, s.T), {}),
                  attention_by_loops(parts[0], parts[1], parts[2], s.H, causal(s.T), {})),
              1e-12);
  }
}

TEST(Attention, QueriesAndKeysMayBeOfDifferentNumberAndValuesOfDifferentWidth) {
  // The last two of five positions, as with a cache.
  const Tensor hidden = blocked(0, 2, 5, [](int64_t, int64_t q, int64_t k) { return k > q + 3; });
  const Described mask = Described(3, 2, 5).place_queries([](int64_t, int64_t q) { return q + 3; });
  const Tensor q = leaf({3, 2, 6}, 1), k = leaf({3, 5, 6}, 2), v = leaf({3, 5, 8}, 3);
  expect_attention(q, k, v, 2, mask, hidden);
  EXPECT_EQ(plain::attention(q, k, v, 2, mask, {}).sizes(), (std::vector<int64_t>{3, 2, 8}));
}

TEST(Attention, DropoutMultipliesTheWeightsAfterSoftmax) {
  const Tensor q = leaf({2, 5, 6}, 1), k = leaf({2, 5, 6}, 2), v = leaf({2, 5, 6}, 3);
  const Rows rows(batch_of(random_tokens({2, 5}, 7, 1), {}));
  const Tensor multipliers = RandomField(7, 0, 0)
                                 .attention_draws("here", 0.4, places(rows), places(rows), 9)
                                 .multipliers(2, q);
  EXPECT_GT(multipliers.eq(0).sum().item<double>(), 10);
  expect_attention(q, k, v, 2, Described(2, 5, 5), causal(5), multipliers);
}

TEST(Attention, AWindowReachesSoManyPositionsBack) {
  const int64_t T = 6;
  const Tensor q = leaf({2, T, 6}, 1), k = leaf({2, T, 6}, 2), v = leaf({2, T, 6}, 3);
  for (const int64_t context : {0, 1, 3, 5}) {
    const Described window = Described(2, T, T).window(context);
    expect_attention(q, k, v, 2, window, blocked(0, T, T, [&](int64_t, int64_t i, int64_t j) {
                       return j > i || i - j > context;
                     }));
    const Tensor out = plain::attention(q, k, v, 2, window, {});
    if (context == 0) {
      EXPECT_TRUE(same_bits(out, v));
    }
    if (context == 5) {
      EXPECT_TRUE(same_bits(out, plain::attention(q, k, v, 2, Described(2, T, T), {})));
    }
  }
}

// Causal, and every sequence hides keys of its own: the first none, the second its first two (its
// first two queries have nothing left), the third all (no query has).
constexpr int64_t kOpsT = 5;
bool is_hidden(int64_t b, int64_t k) {
  return (b == 1 && k < 2) || b == 2;
}
Described mask_by_sequence() {
  return Described(3, kOpsT, kOpsT).hide(is_hidden);
}
// Whether query q of sequence b has a key.
bool sees(int64_t b, int64_t q) {
  return b == 0 || (b == 1 && q >= 2);
}

TEST(Attention, EverySequenceMayHaveAMaskOfItsOwn) {
  const Tensor q = leaf({3, kOpsT, 6}, 1), k = leaf({3, kOpsT, 6}, 2), v = leaf({3, kOpsT, 6}, 3);
  const Described mask = mask_by_sequence();
  const Tensor hidden = blocked(
      3, kOpsT, kOpsT, [](int64_t b, int64_t i, int64_t j) { return j > i || is_hidden(b, j); });
  expect_attention(q, k, v, 2, mask, hidden);
  for (int64_t b = 0; b < 3; ++b) {
    const auto one = [&](const Tensor& x) { return x.narrow(0, b, 1); };
    const Described alone =
        Described(1, kOpsT, kOpsT).hide([&](int64_t, int64_t j) { return is_hidden(b, j); });
    // A mask of the batch is the sequence's own (Q, K) mask.
    EXPECT_LE(max_difference(one(plain::attention(q, k, v, 2, mask, {})),
                             plain::attention(one(q), one(k), one(v), 2, alone, {})),
              1e-13);
  }
  // Masks without an order: a query may see what is behind it.
  const auto kind = [](int64_t b, int64_t i) { return (b + i) % 3; };
  expect_attention(
      q, k, v, 2, Described(3, kOpsT, kOpsT).any_order().segments(kind, kind),
      blocked(3, kOpsT, kOpsT, [](int64_t, int64_t i, int64_t j) { return i % 3 != j % 3; }));
  const Rows rows(batch_of(random_tokens({3, kOpsT}, 7, 1), {}));
  const RandomField field(1, 2, 3);
  expect_attention(
      q, k, v, 2, mask, hidden,
      field.attention_draws("here", 0.4, places(rows), places(rows), kOpsT).multipliers(2, q));
}

TEST(Attention, AQueryWithoutAKeyGetsExactZerosAndSendsNoGradient) {
  const Described mask = mask_by_sequence();
  for (const at::ScalarType type : {at::kDouble, at::kFloat})
    for (const double size : {1.0, 1e4}) {  // scores that no exponential can hold as well
      SCOPED_TRACE(::testing::Message() << type << ", " << size);
      const auto input = [&](unsigned seed) {
        return (random_normal({3, kOpsT, 6}, seed) * size).to(type).set_requires_grad(true);
      };
      const Tensor q = input(1), k = input(2), v = input(3);
      const Tensor out = plain::attention(q, k, v, 2, mask, {});
      backward((out * random_normal(out.sizes(), 99).to(type)).sum());
      for (const Tensor& x : {out, q.grad(), k.grad(), v.grad()})
        EXPECT_TRUE(x.isfinite().all().item<bool>());
      for (int64_t b = 0; b < 3; ++b)
        for (int64_t t = 0; t < kOpsT; ++t) {
          const auto largest = [&](const Tensor& x) { return x[b][t].abs().max().item<double>(); };
          SCOPED_TRACE(::testing::Message() << "sequence " << b << ", position " << t);
          EXPECT_EQ(largest(out) > 0, sees(b, t));
          if (!sees(b, t)) {
            EXPECT_EQ(largest(q.grad()), 0.0);
          }
          // Nobody sees these keys, and nobody tells them anything.
          const bool hidden = b == 2 || (b == 1 && t < 2);
          if (hidden) {
            EXPECT_EQ(largest(k.grad()), 0.0);
            EXPECT_EQ(largest(v.grad()), 0.0);
          } else if (size == 1.0) {
            EXPECT_GT(largest(v.grad()), 0.0);
          }
        }
    }
}

TEST(Attention, WhatIsHiddenChangesNoBit) {
  const Described mask = mask_by_sequence();
  const Tensor q = random_normal({3, kOpsT, 6}, 1), k = random_normal({3, kOpsT, 6}, 2),
               v = random_normal({3, kOpsT, 6}, 3);
  const Tensor before = plain::attention(q, k, v, 2, mask, {});
  for (int64_t b = 0; b < 3; ++b)
    for (int64_t j = 0; j < kOpsT; ++j) {
      // Large enough that a weight that is merely small would show.
      const Tensor other_k = k.clone(), other_v = v.clone();
      other_k[b][j].fill_(1e3);
      other_v[b][j].fill_(1e100);
      const Tensor after = plain::attention(q, other_k, other_v, 2, mask, {});
      for (int64_t i = 0; i < kOpsT; ++i) {
        const bool hidden = j > i || is_hidden(b, j);
        EXPECT_EQ(same_bits(before[b][i], after[b][i]), hidden) << b << ": " << i << " of " << j;
      }
    }
}

TEST(Attention, ThatNoQueryIsWithoutAKeyNeedNotBeKnown) {
  const Tensor q = leaf({2, 6, 6}, 1), k = leaf({2, 6, 6}, 2), v = leaf({2, 6, 6}, 3);
  Described mask(2, 6, 6);
  mask.mask.keys = mask.mask.queries;
  EXPECT_FALSE(mask.mask.may_be_empty());
  const Tensor known = plain::attention(q, k, v, 2, mask, {});
  mask.invalidate([](int64_t, int64_t) { return false; });
  EXPECT_TRUE(mask.mask.may_be_empty());
  EXPECT_TRUE(same_bits(plain::attention(q, k, v, 2, mask, {}), known));
  expect_attention(q, k, v, 2, mask, causal(6));
}

// The readout's cross entropy, (...), of logits (..., V): those of a head that changes nothing.
Tensor cross_entropy(const Tensor& logits, const Tensor& targets) {
  const int64_t V = logits.size(-1);
  ReadoutRequest request;
  request.ids_R = targets.reshape({-1});
  const Tensor same = at::eye(V, logits.options().requires_grad(false));
  return -readout(logits.reshape({-1, V}), {same, {}}, request).ln_p_R.view(targets.sizes());
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

}  // namespace
}  // namespace fathom::testing
