// Every operation over our kernels against its plain definition in double precision, values and
// gradients: odd sizes, missing biases, masks, nothing at all; every instruction set, one thread
// and two.
#include "ops/twins.h"

#include "fathom/ops/rms_norm.h"

namespace fathom::testing {
namespace {

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
  for (const GeluForm form : {GeluForm::kExact, GeluForm::kTanh, GeluForm::kSilu})
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

TEST_F(Twins, Norms) {
  for (const Shape& x : {Shape{1, 2}, Shape{3, 5, 7}, Shape{200, 33}, Shape{0, 4}})
    for (const auto& norm : {layer_norm, rms_norm})
      for (const bool has_bias : {true, false})
        expect_twins([&](const Tensors& in) { return Tensors{norm(in[0], in[1], in[2], 1e-3)}; },
                     {random_normal(x, 1), random_normal({x.back()}, 2),
                      has_bias ? random_normal({x.back()}, 3) : Tensor()});
}

// The draws are the field's (tests/model/random_field_test.cpp); backward draws the same ones.
TEST_F(Twins, Dropout) {
  for (const auto& [R, C] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 5}, {1, 1}, {7, 67}, {300, 130}}) {
    SCOPED_TRACE(fmt::format("{} rows of {}", R, C));
    const auto draws = std::make_shared<RowDropout>();
    draws->p = 0.3, draws->seed = 5, draws->width = C;
    for (int64_t i = 0; i < R; ++i) {
      draws->streams.push_back(uint64_t(i % 3));
      draws->firsts.push_back(uint64_t(i / 3 * C));
    }
    expect_twins([&](const Tensors& x) -> Tensors { return {apply_dropout(x[0], draws)}; },
                 {random_normal({R, C}, 1)});
    const Tensor x = random_normal({R, C}, 1).to(at::kFloat);
    EXPECT_TRUE(same_bits(apply_dropout(x, draws), x * draws->multipliers(x)));
    // Rows that are not one behind the other.
    const Tensor wide = random_normal({C, R}, 2).to(at::kFloat).t();
    EXPECT_TRUE(same_bits(apply_dropout(wide, draws), wide * draws->multipliers(x)));
  }
  const auto draws = std::make_shared<RowDropout>();
  draws->p = 0.5, draws->width = 3, draws->streams = draws->firsts = {1, 2};
  for (const auto type : {at::kFloat, at::kDouble})
    for (const Shape& x : {Shape{1, 3}, Shape{2, 4}, Shape{1, 2, 3}, Shape{3}})
      EXPECT_THROW(apply_dropout(at::zeros(x, at::TensorOptions(type)), draws), c10::Error);
}

TEST_F(Twins, Embedding) {
  for (const auto& [rows, V, C] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1, 1, 1}, {7, 5, 9}, {700, 50, 64}, {0, 5, 4}}) {
    const Tensor ids = random_tokens({rows}, V, 3);
    for (const bool has_x : {true, false})
      expect_twins([&](const Tensors& in) { return Tensors{embed(in[0], in[1], ids)}; },
                   {has_x ? random_normal({rows, C}, 1) : Tensor(), random_normal({V, C}, 2)});
  }
}

struct AttentionCase {
  std::string name;
  int64_t H, D, E;
  Described mask;
  double p = 0;

  int64_t B() const { return mask.mask.queries.batch(); }
  int64_t Q() const { return mask.mask.queries.longest(); }
  int64_t K() const { return mask.mask.keys.longest(); }
};

std::vector<AttentionCase> attention_cases() {
  const auto holes = [](int64_t B, int64_t T) {
    return Described(B, T, T)
        .hide([](int64_t b, int64_t k) { return (k * 7 + b * 3) % 5 == 0; })
        .blind([](int64_t, int64_t q) { return q % 6 == 4; });
  };
  const auto third = [](int64_t b, int64_t i) { return (b + i) / 7; };
  const auto turns = [](int64_t, int64_t i) { return i % 3; };
  const auto all = [](int64_t, int64_t) { return true; };
  const auto some = [](int64_t b, int64_t k) { return (k + b) % 4 == 1; };
  const auto later = [](int64_t b, int64_t q) { return 3 * q + b + 1; };
  return {{"one token", 1, 3, 3, Described(1, 1, 1)},
          {"causal", 2, 5, 5, Described(2, 21, 21)},
          {"window", 3, 16, 16, Described(2, 30, 30).window(3)},
          {"holes", 2, 8, 8, holes(3, 19)},
          {"holes, seen by themselves", 2, 8, 8, holes(3, 19).self_seen().window(6)},
          {"nothing but themselves", 2, 8, 8, Described(2, 9, 9).hide(all).self_seen()},
          {"absent keys", 2, 8, 8, Described(2, 9, 9).hide(some).self_seen().invalidate(later)},
          {"dropout", 2, 8, 8, holes(2, 23), 0.3},
          {"nobody", 1, 8, 8, Described(2, 4, 4).invalidate(all)},
          {"other widths", 2, 8, 12, Described(2, 3, 40).any_order()},
          {"window to both sides", 2, 8, 8, Described(2, 9, 40).any_order().window(5)},
          {"fewer queries", 2, 8, 8, Described(2, 7, 25).place_queries(later).hide(some)},
          {"fewer queries, uneven", 2, 8, 8,
           Described({3, 0, 7, 1}, {9, 2, 25, 0}).place_queries(later).hide(some).self_seen()},
          {"segments", 2, 8, 8, Described(2, 20, 20).segments(third, third).hide(some)},
          {"segments that take turns", 2, 8, 8,
           Described(2, 20, 20).segments(turns, turns).hide(some).self_seen()},
          {"no batch", 2, 8, 8, Described(0, 3, 3)},
          {"no queries", 2, 8, 8, Described(2, 0, 3)},
          {"long", 1, 8, 8, Described(1, 420, 420)},
          {"long with holes", 1, 8, 8, holes(1, 420).self_seen()}};
}

std::shared_ptr<const WeightDropout> draws_for(const AttentionCase& c) {
  if (c.p == 0) return nullptr;
  return std::make_shared<const WeightDropout>(
      RandomField(1, 2, 3).attention_draws("here", c.p, c.mask.mask.queries, c.mask.mask.keys, 50));
}

TEST_F(Twins, Attention) {
  for (const AttentionCase& c : attention_cases()) {
    SCOPED_TRACE(c.name);
    const auto draws = draws_for(c);
    expect_twins(
        [&](const Tensors& in) {
          return Tensors{attention(in[0], in[1], in[2], c.H, c.mask, draws)};
        },
        {random_normal({c.B(), c.Q(), c.H * c.D}, 1), random_normal({c.B(), c.K(), c.H * c.D}, 2),
         random_normal({c.B(), c.K(), c.H * c.E}, 3)});
    if (c.Q() != c.K() || c.D != c.E) continue;
    expect_twins([&](const Tensors& in) { return Tensors{attention(in[0], c.H, c.mask, draws)}; },
                 {random_normal({c.B(), c.Q(), 3 * c.H * c.D}, 4)});
  }
}

// As the gradients of sums and of chunks are.
TEST_F(Twins, TakeWhatIsNotContiguous) {
  expect_twins(
      [](const Tensors& in) {
        const Tensor x = in[0].transpose(0, 1);
        return Tensors{linear(x, in[1], Tensor()), layer_norm(x, in[2], Tensor(), 1e-5),
                       attention(x.unsqueeze(0).narrow(2, 1, 6), x.unsqueeze(0).narrow(2, 2, 6),
                                 x.unsqueeze(0).narrow(2, 0, 6), 2, Described(1, 5, 5), nullptr)};
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
  enum { kByRow, kWeighted, kBoth } sent = kByRow;
};

// The readings' own gradients, those of the weighted sum alone, or both. A third of the weights are
// 0.
Tensors read_twice(const ReadoutCase& c, const Tensors& in) {
  ReadoutRequest request;
  request.ids_R = at::empty({c.R}, at::TensorOptions(at::kLong));
  for (int64_t i = 0; i < c.R; ++i)
    request.ids_R.data_ptr<int64_t>()[i] = i % 4 == 3 ? -1 : i * 7 % c.V;
  request.confidence_temperature = c.temperature;
  request.grad_of_max = c.grad_of_max;
  if (c.sent != ReadoutCase::kByRow) {
    request.weight_R = random_normal({c.R}, 52).to(in[0].scalar_type());
    for (int64_t i = 0; i < c.R; i += 3) request.weight_R[i] = 0;
  }
  const Reading r = readout(in[0], in[1], in[2], request);
  EXPECT_EQ(r.prediction_R.scalar_type(), at::kLong);
  EXPECT_EQ(r.weighted.defined(), c.sent != ReadoutCase::kByRow);
  Tensors out = {r.ln_p_R, r.ln_max_R, r.ln_max_confidence_R, r.ln_p_confidence_R,
                 r.prediction_R.to(at::kFloat)};
  if (c.sent == ReadoutCase::kWeighted)
    for (Tensor& x : out) x = x.detach();
  if (r.weighted.defined()) out.push_back(r.weighted);
  return out;
}

TEST_F(Twins, Readout) {
  for (const auto sent : {ReadoutCase::kByRow, ReadoutCase::kWeighted, ReadoutCase::kBoth})
    for (const ReadoutCase& c :
         {ReadoutCase{1, 1, 1}, ReadoutCase{30, 5, 65}, ReadoutCase{30, 5, 65, 0.6, true},
          ReadoutCase{17, 8, 40, 2.0, true, true}, ReadoutCase{0, 4, 9}, ReadoutCase{9, 3, 9000}}) {
      ReadoutCase with = c;
      with.sent = sent;
      SCOPED_TRACE(fmt::format("{} {} {}, sent {}", c.R, c.C, c.V, int(sent)));
      expect_twins([&](const Tensors& in) { return read_twice(with, in); },
                   {random_normal({c.R, c.C}, 1), random_normal({c.V, c.C}, 2),
                    c.bias ? random_normal({c.V}, 3) : Tensor()});
    }
}

}  // namespace
}  // namespace fathom::testing
