// Every operation over our kernels against its plain definition in double precision, values and
// gradients: odd sizes, missing biases, masks, nothing at all; every instruction set, one thread
// and two.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "fathom/model/random_field.h"
#include "fathom/ops/optimizer.h"
#include "fathom/ops/plain.h"
#include "kernels/testing.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

using Tensors = std::vector<Tensor>;
// Outputs of an operation on its inputs; undefined inputs are parts that are not there.
using Operation = std::function<Tensors(const Tensors&)>;

struct Result {
  Tensors outputs, gradients;
};

// Runs it on copies of the inputs in `dtype`, and sends random gradients to its float outputs.
Result run(const Operation& f, const Tensors& inputs, at::ScalarType dtype) {
  Tensors leaves;
  for (const Tensor& x : inputs)
    leaves.push_back(x.defined() ? x.detach().to(dtype).clone().set_requires_grad(true) : x);
  Result result;
  result.outputs = f(leaves);
  Tensor sum;
  unsigned seed = 50;
  for (const Tensor& y : result.outputs) {
    ++seed;
    if (!y.requires_grad()) continue;
    const Tensor part = (y * random_normal(y.sizes(), seed).to(dtype)).sum();
    sum = sum.defined() ? sum + part : part;
  }
  backward(sum);
  for (const Tensor& x : leaves) result.gradients.push_back(x.defined() ? x.grad() : x);
  return result;
}

void expect_close(const Tensor& actual, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.defined(), expected.defined()) << what;
  if (!actual.defined()) return;
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_LE(distance(numbers(actual), numbers(expected)), 2e-5) << what;
}

// Where an undefined gradient means zeros.
void expect_twins(const Operation& f, const Tensors& inputs) {
  const Result expected = run(f, inputs, at::kDouble);
  for (const Isa isa : usable_isas())
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(fmt::format("{}, {} threads", isa_name(isa), threads));
      const ChosenIsa chosen(isa);
      at::set_num_threads(threads);
      const Result actual = run(f, inputs, at::kFloat);
      for (size_t i = 0; i < expected.outputs.size(); ++i)
        expect_close(actual.outputs[i], expected.outputs[i], fmt::format("output {}", i));
      for (size_t i = 0; i < expected.gradients.size(); ++i)
        expect_close(actual.gradients[i], expected.gradients[i], fmt::format("gradient {}", i));
    }
}

class Twins : public ::testing::Test {
 protected:
  ~Twins() override { at::set_num_threads(threads_); }
  const int threads_ = at::get_num_threads();
};

using Shape = std::vector<int64_t>;

TEST_F(Twins, Linear) {
  for (const auto& [x, out] : std::vector<std::pair<Shape, int64_t>>{
           {{1, 1}, 1}, {{3, 5, 7}, 9}, {{65, 33}, 130}, {{0, 4}, 3}, {{400, 8}, 1}}) {
    SCOPED_TRACE(fmt::format("[{}] -> {}", fmt::join(x, ", "), out));
    for (const bool has_bias : {true, false})
      expect_twins([](const Tensors& in) { return Tensors{linear(in[0], in[1], in[2])}; },
                   {random_normal(x, 1), random_normal({out, x.back()}, 2),
                    has_bias ? random_normal({out}, 3) : Tensor()});
  }
}

TEST_F(Twins, Mlp) {
  for (const GeluForm form : {GeluForm::kExact, GeluForm::kTanh})
    for (const auto& [x, F] : std::vector<std::pair<Shape, int64_t>>{
             {{1, 1}, 1}, {{3, 5, 7}, 28}, {{70, 33}, 130}, {{0, 4}, 16}, {{20, 400}, 450}}) {
      const int64_t C = x.back();
      SCOPED_TRACE(fmt::format("[{}], {}", fmt::join(x, ", "), F));
      for (const bool has_bias : {true, false})
        expect_twins(
            [form](const Tensors& in) {
              return Tensors{mlp(in[0], {in[1], in[2], in[3], in[4]}, form)};
            },
            {2 * random_normal(x, 1), random_normal({F, C}, 2),
             has_bias ? random_normal({F}, 3) : Tensor(), random_normal({C, F}, 4),
             has_bias ? random_normal({C}, 5) : Tensor()});
    }
}

TEST_F(Twins, LayerNorm) {
  for (const Shape& x : {Shape{1, 2}, Shape{3, 5, 7}, Shape{200, 33}, Shape{0, 4}})
    for (const bool has_bias : {true, false})
      expect_twins([](const Tensors& in) { return Tensors{layer_norm(in[0], in[1], in[2], 1e-3)}; },
                   {random_normal(x, 1), random_normal({x.back()}, 2),
                    has_bias ? random_normal({x.back()}, 3) : Tensor()});
}

// Blocked where `hidden` says so; (Q, K) if B is 0.
AttentionMask mask_of(int64_t B, int64_t Q, int64_t K,
                      const std::function<bool(int64_t, int64_t, int64_t)>& hidden) {
  const Tensor t = at::empty(B == 0 ? Shape{Q, K} : Shape{B, Q, K}, at::TensorOptions(at::kBool));
  auto* to = t.data_ptr<bool>();
  for (int64_t b = 0; b < std::max<int64_t>(B, 1); ++b)
    for (int64_t q = 0; q < Q; ++q)
      for (int64_t k = 0; k < K; ++k) *to++ = hidden(b, q, k);
  return {t, /*may_be_empty=*/true};
}

struct AttentionCase {
  std::string name;
  int64_t B, Q, K, H, D, E;
  AttentionMask mask;
  double p = 0;
};

std::vector<AttentionCase> attention_cases() {
  const auto causal = [](int64_t, int64_t q, int64_t k) { return k > q; };
  const auto window = [](int64_t, int64_t q, int64_t k) { return k > q || q - k > 3; };
  const auto holes = [](int64_t b, int64_t q, int64_t k) {
    return k > q || (k * 7 + b * 3) % 5 == 0 || q % 6 == 4;
  };
  const auto all = [](int64_t, int64_t, int64_t) { return true; };
  const auto none = [](int64_t, int64_t, int64_t) { return false; };
  return {{"one token", 1, 1, 1, 1, 3, 3, mask_of(0, 1, 1, causal)},
          {"causal", 2, 21, 21, 2, 5, 5, mask_of(0, 21, 21, causal)},
          {"window", 2, 30, 30, 3, 16, 16, mask_of(0, 30, 30, window)},
          {"holes", 3, 19, 19, 2, 8, 8, mask_of(3, 19, 19, holes)},
          {"dropout", 2, 23, 23, 2, 8, 8, mask_of(2, 23, 23, holes), 0.3},
          {"nobody", 2, 4, 4, 1, 8, 8, mask_of(0, 4, 4, all)},
          {"other widths", 2, 3, 40, 2, 8, 12, mask_of(0, 3, 40, none)},
          {"no batch", 0, 3, 3, 2, 8, 8, mask_of(0, 3, 3, causal)},
          {"no queries", 2, 0, 3, 2, 8, 8, mask_of(0, 0, 3, causal)},
          {"long", 1, 420, 420, 1, 8, 8, mask_of(0, 420, 420, causal)}};
}

std::shared_ptr<const WeightDropout> draws_for(const AttentionCase& c) {
  if (c.p == 0) return nullptr;
  Batch batch;
  batch.tokens_BT = random_tokens({c.B, c.Q}, 5, 1);
  const Rows rows(batch);
  return std::make_shared<const WeightDropout>(
      RandomField(1, 2, 3).attention_draws("here", c.p, rows, rows, 50));
}

TEST_F(Twins, Attention) {
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(c.name);
    const auto draws = draws_for(c);
    expect_twins(
        [&](const Tensors& in) {
          return Tensors{attention(in[0], in[1], in[2], c.H, c.mask, draws)};
        },
        {random_normal({c.B, c.Q, c.H * c.D}, 1), random_normal({c.B, c.K, c.H * c.D}, 2),
         random_normal({c.B, c.K, c.H * c.E}, 3)});
    if (c.Q != c.K || c.D != c.E) continue;
    expect_twins([&](const Tensors& in) { return Tensors{attention(in[0], c.H, c.mask, draws)}; },
                 {random_normal({c.B, c.Q, 3 * c.H * c.D}, 4)});
  }
}

// As the gradients of sums and of chunks are.
TEST_F(Twins, TakeWhatIsNotContiguous) {
  expect_twins(
      [](const Tensors& in) {
        const Tensor x = in[0].transpose(0, 1);
        return Tensors{
            linear(x, in[1], Tensor()), layer_norm(x, in[2], Tensor(), 1e-5),
            attention(x.unsqueeze(0).narrow(2, 1, 6), x.unsqueeze(0).narrow(2, 2, 6),
                      x.unsqueeze(0).narrow(2, 0, 6), 2,
                      mask_of(0, 5, 5, [](int64_t, int64_t q, int64_t k) { return k > q; }),
                      nullptr)};
      },
      {random_normal({8, 5}, 1), random_normal({4, 8}, 2), random_normal({8}, 3)});
  // Weights and biases that are columns of a matrix, or one number for all.
  expect_twins(
      [](const Tensors& in) {
        const Tensor w = in[1].select(1, 2), b = in[1].select(1, 0);
        return Tensors{layer_norm(in[0], w, b, 1e-5), linear(in[0], in[2].t(), b),
                       readout(in[0], in[2].t(), in[3].expand({5}), {}).ln_max_R,
                       mlp(in[0], {in[2].t(), b, in[2], b}, GeluForm::kExact)};
      },
      {random_normal({8, 5}, 1), random_normal({5, 3}, 2), random_normal({5, 5}, 3),
       random_normal({1}, 4)});
  expect_twins([](const Tensors& in) { return Tensors{linear(in[0], in[1], Tensor()).sum(0)}; },
               {random_normal({8, 5}, 1), random_normal({4, 5}, 2)});
}

struct ReadoutCase {
  int64_t R, C, V;
  double temperature = 1;
  bool bias = false, grad_of_max = false;
  enum { kNotExpected, kExpected, kExpectedOther } expected = kNotExpected;
};

// The readings' own gradients; what is `expected` of ln p is what is sent, half of it, or not at
// all.
Tensors read_twice(const ReadoutCase& c, const Tensors& in) {
  ReadoutRequest request;
  request.ids_R = at::empty({c.R}, at::TensorOptions(at::kLong));
  for (int64_t i = 0; i < c.R; ++i)
    request.ids_R.data_ptr<int64_t>()[i] = i % 4 == 3 ? -1 : i * 7 % c.V;
  request.confidence_temperature = c.temperature;
  request.grad_of_max = c.grad_of_max;
  // What run() sends to its first output.
  const Tensor sent = random_normal({c.R}, 51).to(in[0].scalar_type());
  if (c.expected == ReadoutCase::kExpected) request.expected_R = 2 * sent;
  if (c.expected == ReadoutCase::kExpectedOther) request.expected_R = sent + 0.5;
  const Reading r = readout(in[0], in[1], in[2], request);
  EXPECT_EQ(r.prediction_R.scalar_type(), at::kLong);
  return {r.ln_p_R, r.ln_max_R, r.ln_max_confidence_R, r.ln_p_confidence_R,
          r.prediction_R.to(at::kFloat)};
}

TEST_F(Twins, Readout) {
  for (const auto expected :
       {ReadoutCase::kNotExpected, ReadoutCase::kExpected, ReadoutCase::kExpectedOther})
    for (const ReadoutCase& c :
         {ReadoutCase{1, 1, 1}, ReadoutCase{30, 5, 65}, ReadoutCase{30, 5, 65, 0.6, true},
          ReadoutCase{17, 8, 40, 2.0, true, true}, ReadoutCase{0, 4, 9}, ReadoutCase{9, 3, 9000}}) {
      ReadoutCase with = c;
      with.expected = expected;
      SCOPED_TRACE(fmt::format("{} {} {}, expected {}", c.R, c.C, c.V, int(expected)));
      expect_twins([&](const Tensors& in) { return read_twice(with, in); },
                   {random_normal({c.R, c.C}, 1), random_normal({c.V, c.C}, 2),
                    c.bias ? random_normal({c.V}, 3) : Tensor()});
    }
}

// Without a graph nothing is kept, and the values are the same ones.
TEST_F(Twins, WithoutAGraphTheBitsAreTheSame) {
  const Tensor x = random_normal({6, 8}, 1).to(at::kFloat),
               w = random_normal({24, 8}, 2).to(at::kFloat),
               v = random_normal({8}, 3).to(at::kFloat),
               d = random_normal({8, 24}, 4).to(at::kFloat);
  const AttentionMask mask = mask_of(0, 6, 6, [](int64_t, int64_t q, int64_t k) { return k > q; });
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

// Frozen inputs get no gradient, the others the same ones.
TEST_F(Twins, FrozenInputsAreLeftOut) {
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
TEST_F(Twins, BackwardTwice) {
  Tensor x = random_normal({5, 4}, 1).to(at::kFloat), w = random_normal({7, 4}, 2).to(at::kFloat);
  x.set_requires_grad(true);
  w.set_requires_grad(true);
  ReadoutRequest request;
  request.ids_R = at::zeros({5}, at::TensorOptions(at::kLong));
  request.expected_R = at::zeros({5}, x.options().requires_grad(false)) - 1;
  const Tensor loss = -readout(x, w, {}, request).ln_p_R.sum();
  torch::autograd::backward({loss}, {}, /*retain_graph=*/true);
  const Tensor once = w.grad().clone();
  torch::autograd::backward({loss}, {});
  EXPECT_LE(max_difference(w.grad(), 2 * once), 1e-5);
}

TEST_F(Twins, AdamW) {
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
TEST_F(Twins, BitsDoNotDependOnThreads) {
  const auto all = [](int threads) {
    at::set_num_threads(threads);
    // Large enough for every kernel to take a second thread.
    Tensor x = random_normal({3000, 32}, 1).to(at::kFloat).set_requires_grad(true);
    Tensor w = random_normal({96, 32}, 2).to(at::kFloat).set_requires_grad(true);
    Tensor d = random_normal({32, 96}, 3).to(at::kFloat).set_requires_grad(true);
    Tensor b = random_normal({96}, 4).to(at::kFloat).set_requires_grad(true);
    const AttentionMask mask =
        mask_of(0, 75, 75, [](int64_t, int64_t q, int64_t k) { return k > q; });
    const Tensor n = layer_norm(x, d.select(1, 0), Tensor(), 1e-5);
    const Tensor a = attention(linear(n, w, b).view({40, 75, 96}), 2, mask, nullptr);
    const Tensor y = mlp(a.view({3000, 32}), {w, b, d, {}}, GeluForm::kExact);
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
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(same_bits(one[i], two[i])) << i;
    EXPECT_TRUE(same_bits(two[i], again[i])) << i;
  }
}

// As libtorch's own operations do, and before anything is read.
TEST_F(Twins, ShapesThatDoNotFitAreRefused) {
  const auto t = [](Shape shape) { return random_normal(shape, 1).to(at::kFloat); };
  const AttentionMask mask = mask_of(0, 4, 4, [](int64_t, int64_t, int64_t) { return false; });
  const AttentionMask other = mask_of(3, 4, 4, [](int64_t, int64_t, int64_t) { return false; });
  EXPECT_THROW(linear(t({2, 7}), t({9, 8}), Tensor()), c10::Error);
  EXPECT_THROW(linear(t({2, 8}), t({9, 8}), t({1})), c10::Error);
  EXPECT_THROW(linear(t({2, 8}), random_normal({9, 8}, 1), Tensor()), c10::Error);
  EXPECT_THROW(mlp(t({2, 8}), {t({9, 8}), {}, t({8, 7}), {}}, GeluForm::kExact), c10::Error);
  EXPECT_THROW(layer_norm(t({2, 8}), t({7}), Tensor(), 1e-5), c10::Error);
  EXPECT_THROW(attention(t({2, 4, 24}), 2, other, nullptr), c10::Error);
  EXPECT_THROW(attention(t({2, 5, 24}), 2, mask, nullptr), c10::Error);
  EXPECT_THROW(attention(t({2, 4, 24}), 3, mask, nullptr), c10::Error);
  ReadoutRequest request;
  request.ids_R = at::zeros({2}, at::TensorOptions(at::kLong)) + 9;
  EXPECT_THROW(readout(t({2, 8}), t({9, 8}), Tensor(), request), c10::Error);
}

// Nothing that is no number is taken for a hidden key.
TEST_F(Twins, NaNStaysNaN) {
  const double nan = std::nan(""), infinity = INFINITY;
  const AttentionMask mask = mask_of(0, 3, 3, [](int64_t, int64_t q, int64_t k) { return k > q; });
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
TEST_F(Twins, ResultsMayBeChangedInPlace) {
  const Tensor x = random_normal({2, 3, 4}, 1).to(at::kFloat).set_requires_grad(true);
  const Tensor w = random_normal({4, 4}, 2).to(at::kFloat).set_requires_grad(true);
  backward(linear(x, w, Tensor()).mul_(2).sum() +
           mlp(x, {w, {}, w, {}}, GeluForm::kExact).relu_().sum());
  EXPECT_TRUE(x.grad().defined());
}

TEST_F(Twins, OtherPrecisionsAreComputedPlainly) {
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_FALSE(has_kernels(x));
  EXPECT_TRUE(has_kernels(x.to(at::kFloat)));
  const PlainOperations plain;
  EXPECT_FALSE(has_kernels(x.to(at::kFloat)));
}

}  // namespace
}  // namespace fathom::testing
