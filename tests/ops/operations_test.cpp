// What holds for every operation beside its values: no graph, frozen inputs, second walks back,
// threads, shapes that do not fit, numbers that are none.
#include "ops/twins.h"

namespace fathom::testing {
namespace {

using Operations = Twins;

// Without a graph nothing is kept, and the values are the same ones.
TEST_F(Operations, WithoutAGraphTheBitsAreTheSame) {
  const Tensor x = random_normal({6, 8}, 1).to(at::kFloat),
               w = random_normal({24, 8}, 2).to(at::kFloat),
               v = random_normal({8}, 3).to(at::kFloat),
               d = random_normal({8, 24}, 4).to(at::kFloat);
  const Described mask(1, 6, 6);
  const auto all = [&] {
    return Tensors{linear(x, w, Tensor()), mlp(x, {w, {}, d, {}}, GeluForm::kExact),
                   layer_norm(x, v, Tensor(), 1e-5),
                   attention(linear(x, w, Tensor()).unsqueeze(0), 2, mask, nullptr),
                   readout(x, w, {}, {}).ln_max_R};
  };
  for (Tensor t : {w, v, d}) t.set_requires_grad(true);
  const Tensors graph = all();
  const at::NoGradGuard no_grad;
  const Tensors plain = all();
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_TRUE(same_bits(plain[i], graph[i].detach())) << i;
    EXPECT_FALSE(plain[i].requires_grad());
  }
}

// Attention to keys that are kept somewhere, of queries that lie in wider rows.
TEST_F(Operations, KeptKeysAreTheSameKeys) {
  const int64_t B = 3, capacity = 401, H = 2, D = 12, E = 20;
  for (const int64_t Q : {1, 3, 4, 5, 30})
    for (const int64_t K : {1, 17, 40, 400}) {
      SCOPED_TRACE(fmt::format("{} queries, {} keys", Q, K));
      const Described mask = Described(B, Q, K)
                                 .place_queries([](int64_t b, int64_t q) { return 5 * q + b; })
                                 .hide([](int64_t b, int64_t k) { return (k + b) % 4 == 3; })
                                 .blind([](int64_t b, int64_t q) { return q == 2 && b == 1; });
      const KeptKeys kept = {random_normal({B, H * D, capacity}, 1).to(at::kFloat),
                             random_normal({B, capacity, H * E}, 2).to(at::kFloat), mask};
      const Tensor rows = random_normal({B * Q, 3 * H * D}, 3).to(at::kFloat);
      const at::NoGradGuard no_grad;
      const Tensor q = rows.narrow(1, 0, H * D).reshape({B, Q, H * D});
      Tensor expected;
      {
        const PlainOperations only;
        expected = attention_of_rows(rows, kept, H);
      }
      for (const Isa isa : usable_isas()) {
        const ChosenIsa chosen(isa);
        expect_close(attention_of_rows(rows, kept, H), expected, isa_name(isa));
        // The same bits as of any keys, which are packed first.
        const Tensor k = kept.k_BCK.narrow(2, 0, K).transpose(1, 2);
        const Tensor v = kept.v_BKC.narrow(1, 0, K);
        EXPECT_TRUE(same_bits(attention_of_rows(rows, kept, H).view({B, Q, H * E}),
                              attention(q, k, v, H, mask, nullptr)));
      }
    }
}

// Frozen inputs get no gradient, the others the same ones.
TEST_F(Operations, FrozenInputsAreLeftOut) {
  const auto gradients = [](size_t frozen) {
    Tensors in = {random_normal({6, 8}, 1).to(at::kFloat), random_normal({24, 8}, 2).to(at::kFloat),
                  random_normal({8, 24}, 3).to(at::kFloat), random_normal({8}, 4).to(at::kFloat)};
    for (size_t i = 0; i < in.size(); ++i) in[i].set_requires_grad(i != frozen);
    const Tensor x = layer_norm(in[0], in[3], Tensor(), 1e-5);
    backward(linear(mlp(x, {in[1], {}, in[2], {}}, GeluForm::kExact), in[1], Tensor()).sum() +
             readout(x, in[1], {}, {{}, 1.0, true, {}}).ln_max_R.sum());
    Tensors out;
    for (const Tensor& t : in) out.push_back(t.grad());
    return out;
  };
  const Tensors all = gradients(99);
  for (size_t frozen = 0; frozen < all.size(); ++frozen) {
    const Tensors some = gradients(frozen);
    for (size_t i = 0; i < all.size(); ++i) {
      if (i == frozen)
        EXPECT_FALSE(some[i].defined());
      else
        EXPECT_TRUE(same_bits(some[i], all[i])) << frozen << " " << i;
    }
  }
}

// A graph that is kept can be walked twice.
TEST_F(Operations, BackwardTwice) {
  Tensor x = random_normal({5, 4}, 1).to(at::kFloat), w = random_normal({7, 4}, 2).to(at::kFloat);
  x.set_requires_grad(true);
  w.set_requires_grad(true);
  ReadoutRequest request;
  request.ids_R = at::zeros({5}, at::TensorOptions(at::kLong));
  request.weight_R = at::zeros({5}, x.options().requires_grad(false)) - 1;
  const Tensor loss = 0.5 * readout(x, w, {}, request).weighted;
  torch::autograd::backward({loss}, {}, /*retain_graph=*/true);
  const Tensor once = w.grad().clone();
  torch::autograd::backward({loss}, {});
  EXPECT_LE(max_difference(w.grad(), 2 * once), 1e-5);
}

// Rows without a weight add nothing to the sum and are sent nothing, whatever their scores are.
TEST_F(Operations, WhatHasNoWeightMayBeNoNumber) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    Tensor x = random_normal({4, 3}, 1).to(type);
    const Tensor w = random_normal({7, 3}, 2).to(type);
    ReadoutRequest request;
    request.ids_R = at::zeros({4}, at::TensorOptions(at::kLong));
    request.weight_R = at::zeros({4}, x.options()) - 1;
    request.weight_R[2] = 0;
    const Tensor sound = readout(x, w, {}, request).weighted.clone();
    x[2].fill_(INFINITY);
    EXPECT_TRUE(same_bits(readout(x, w, {}, request).weighted, sound));
    request.weight_R[2] = -1;
    EXPECT_TRUE(readout(x, w, {}, request).weighted.isnan().item<bool>());
  }
}

// The weighted sum is that of its rows, bit for bit, with and without a graph; its gradient is the
// rows' where their weights need no rounding.
TEST_F(Operations, AWeightedSumHasTheBitsOfItsRows) {
  const int64_t R = 300;
  const auto run = [&](bool weighted, Tensor& loss) {
    Tensor x = random_normal({R, 8}, 1).to(at::kFloat),
           w = random_normal({70, 8}, 2).to(at::kFloat);
    x.set_requires_grad(true), w.set_requires_grad(true);
    ReadoutRequest request;
    request.ids_R = random_tokens({R}, 70, 3);
    const Tensor weight_R = request.ids_R.remainder(3).ne(0).to(at::kFloat);
    if (weighted) request.weight_R = -weight_R;
    const Reading r = readout(x, w, {}, request);
    loss = (weighted ? r.weighted : (-r.ln_p_R * weight_R).sum()) / 4;
    backward(loss);
    return Tensors{x.grad(), w.grad()};
  };
  Tensor by_row, at_once;
  const Tensors expected = run(false, by_row), actual = run(true, at_once);
  EXPECT_TRUE(same_bits(by_row, at_once));
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(same_bits(actual[i], expected[i])) << i;
}

TEST_F(Operations, AdamW) {
  const AdamWStep step = {0.5, 0.9, 0.99, 0.999, 0.01, 0.3, 1e-8};
  const auto run_in = [&](at::ScalarType dtype) {
    Tensors t;
    for (unsigned i = 0; i < 4; ++i) t.push_back(random_normal({70, 1000}, i + 1).to(dtype));
    t[3] = t[3] * t[3];
    t[0].mutable_grad() = t[1];
    const double norm = squared_norm(t[1]);
    adamw(step, t[0], t[2], t[3]);
    EXPECT_EQ(t[0]._version() > 0, true);
    return std::pair(Tensors{t[0], t[2], t[3]}, norm);
  };
  const auto [expected, norm] = run_in(at::kDouble);
  for (const Isa isa : usable_isas()) {
    const ChosenIsa chosen(isa);
    const auto [actual, single] = run_in(at::kFloat);
    EXPECT_NEAR(single / norm, 1, 1e-6);
    for (size_t i = 0; i < expected.size(); ++i)
      expect_close(actual[i], expected[i], fmt::format("tensor {}", i));
  }
}

// What an operation gives does not depend on how many threads there are.
TEST_F(Operations, BitsDoNotDependOnThreads) {
  Batch batch;
  batch.tokens_BT = at::zeros({40, 75}, at::TensorOptions(at::kLong));
  const Rows rows_of_3000(batch);
  const auto all = [&](int threads) {
    at::set_num_threads(threads);
    // Large enough for every kernel to take a second thread.
    Tensor x = random_normal({3000, 32}, 1).to(at::kFloat).set_requires_grad(true);
    Tensor w = random_normal({96, 32}, 2).to(at::kFloat).set_requires_grad(true);
    Tensor d = random_normal({32, 96}, 3).to(at::kFloat).set_requires_grad(true);
    Tensor b = random_normal({96}, 4).to(at::kFloat).set_requires_grad(true);
    const Described mask =
        Described(40, 75, 75).hide([](int64_t i, int64_t k) { return (i + k) % 9 == 0; });
    const Tensor n = layer_norm(x, d.select(1, 0), Tensor(), 1e-5);
    const Tensor a = attention(linear(n, w, b).view({40, 75, 96}), 2, mask, nullptr);
    const auto draws = RandomField(1, 2, 3).row_draws("site", 0.2, rows_of_3000, 32);
    const Tensor y = apply_dropout(mlp(a.view({3000, 32}), {w, b, d, {}}, GeluForm::kExact), draws);
    backward(readout(y, w, b, {{}, 1.0, true, {}}).ln_max_R.sum());
    Tensor p = x.detach().clone(), m = at::zeros(p.sizes()), v = at::zeros(p.sizes());
    p.mutable_grad() = x.grad();
    AdamWStep step;
    step.beta1 = step.beta2 = 0.9, step.step_size = 0.1, step.eps = 1e-8;
    step.gradient_scale = 1 / std::sqrt(squared_norm(x.grad()));
    adamw(step, p, m, v);
    return Tensors{y.detach(), x.grad(), w.grad(), d.grad(), b.grad(), p};
  };
  const Tensors one = all(1), two = all(2), again = all(2);
  const auto difference = [](const Tensor& a, const Tensor& b) {
    const Tensor d = (a.to(at::kDouble) - b.to(at::kDouble)).abs();
    return fmt::format("{} of {} elements differ, by at most {}", d.gt(0).sum().item<int64_t>(),
                       d.numel(), d.max().item<double>());
  };
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], two[i])) << i << ": " << difference(one[i], two[i]);
    EXPECT_TRUE(same_bits(two[i], again[i])) << i << ": " << difference(two[i], again[i]);
  }
}

// As libtorch's own operations do, and before anything is read.
TEST_F(Operations, ShapesThatDoNotFitAreRefused) {
  const auto t = [](Shape shape) { return random_normal(shape, 1).to(at::kFloat); };
  const Described mask(2, 4, 4), other(3, 4, 4);
  Described short_of_a_key(2, 4, 4);
  short_of_a_key.mask.hidden = at::zeros({7}, at::TensorOptions(at::kBool));
  EXPECT_THROW(linear(t({2, 7}), t({9, 8}), Tensor()), c10::Error);
  EXPECT_THROW(linear(t({2, 8}), t({9, 8}), t({1})), c10::Error);
  EXPECT_THROW(linear(t({2, 8}), random_normal({9, 8}, 1), Tensor()), c10::Error);
  EXPECT_THROW(mlp(t({2, 8}), {t({9, 8}), {}, t({8, 7}), {}}, GeluForm::kExact), c10::Error);
  EXPECT_THROW(layer_norm(t({2, 8}), t({7}), Tensor(), 1e-5), c10::Error);
  EXPECT_THROW(attention(t({2, 4, 24}), 2, other, nullptr), c10::Error);
  EXPECT_THROW(attention(t({2, 5, 24}), 2, mask, nullptr), c10::Error);
  EXPECT_THROW(attention(t({2, 4, 24}), 2, short_of_a_key, nullptr), c10::Error);
  EXPECT_THROW(attention(t({2, 4, 24}), 3, mask, nullptr), c10::Error);
  ReadoutRequest request;
  request.ids_R = at::zeros({2}, at::TensorOptions(at::kLong)) + 9;
  EXPECT_THROW(readout(t({2, 8}), t({9, 8}), Tensor(), request), c10::Error);
  request.ids_R = at::zeros({2}, at::TensorOptions(at::kLong));
  request.weight_R = t({3});
  EXPECT_THROW(readout(t({2, 8}), t({9, 8}), Tensor(), request), c10::Error);
}

// Nothing that is no number is taken for a hidden key.
TEST_F(Operations, NaNStaysNaN) {
  const double nan = std::nan(""), infinity = INFINITY;
  const Described mask(1, 3, 3);
  for (const double bad : {nan, infinity, -infinity})
    for (const Isa isa : usable_isas()) {
      const ChosenIsa chosen(isa);
      Tensor qkv = random_normal({1, 3, 24}, 1).to(at::kFloat);
      qkv[0][1][0] = bad;  // of the second query
      const Tensor fused = attention(qkv, 1, mask, nullptr);
      EXPECT_TRUE(fused[0][1].isnan().all().item<bool>()) << bad;
      EXPECT_FALSE(fused[0][0].isnan().any().item<bool>());
      EXPECT_TRUE(layer_norm(qkv, qkv[0][0], Tensor(), 1e-5)[0][1].isnan().any().item<bool>());
      EXPECT_TRUE(readout(qkv[0], qkv[0], Tensor(), {}).ln_max_R[1].isnan().item<bool>());
    }
}

// What a function gives may be changed in place.
TEST_F(Operations, ResultsMayBeChangedInPlace) {
  const Tensor x = random_normal({2, 3, 4}, 1).to(at::kFloat).set_requires_grad(true);
  const Tensor w = random_normal({4, 4}, 2).to(at::kFloat).set_requires_grad(true);
  backward(linear(x, w, Tensor()).mul_(2).sum() +
           mlp(x, {w, {}, w, {}}, GeluForm::kExact).relu_().sum());
  EXPECT_TRUE(x.grad().defined());
}

TEST_F(Operations, OtherPrecisionsAreComputedPlainly) {
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_FALSE(has_kernels(x));
  EXPECT_TRUE(has_kernels(x.to(at::kFloat)));
  const PlainOperations plain;
  EXPECT_FALSE(has_kernels(x.to(at::kFloat)));
}

}  // namespace
}  // namespace fathom::testing
