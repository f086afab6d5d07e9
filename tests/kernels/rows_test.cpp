// Norms, readouts, dropout and the optimiser's passes.
#include <gmock/gmock.h>

#include "fathom/kernels/norm.h"
#include "fathom/kernels/optimizer.h"
#include "fathom/kernels/random_field.h"
#include "fathom/kernels/readout.h"
#include "kernels/testing.h"

namespace fathom {
namespace {

class RowsTest : public ::testing::TestWithParam<Isa> {
 protected:
  const ChosenIsa isa_{GetParam()};
  Numbers numbers_{7};
};

INSTANTIATE_TEST_SUITE_P(Every, RowsTest, ::testing::ValuesIn(usable_isas()), name_of_isa);

TEST_P(RowsTest, NormsEqualTheFormulas) {
  for (const bool has_bias : {false, true})
    for (const auto& size : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 5}, {2, 16}, {130, 33}, {70, 128}, {0, 8}}) {
      const int64_t R = size.first, C = size.second;
      SCOPED_TRACE(fmt::format("{} x {}", R, C));
      const std::vector<float> x = numbers_.draw(R * C), w = numbers_.draw(C), b = numbers_.draw(C),
                               d_y = numbers_.draw(R * C);
      NormProblem p = {x.data(), R, C, w.data(), has_bias ? b.data() : nullptr, 1e-5};
      std::vector<float> y(x.size()), mean(size_t(R), 0), scale(size_t(R), 0), d_x(x.size()),
          d_w(w.size(), 9), d_b(w.size(), 9);
      norm_forward(p, y.data(), mean.data(), scale.data());
      norm_backward(p, mean.data(), scale.data(), d_y.data(), d_x.data(), d_w.data(), d_b.data());
      std::vector<double> y2(x.size()), d_x2(x.size()), d_w2(w.size(), 0), d_b2(w.size(), 0);
      for (int64_t i = 0; i < R; ++i) {
        double m = 0, variance = 0, g = 0, gx = 0;
        const auto at = [&](int64_t j) { return size_t(i * C + j); };
        for (int64_t j = 0; j < C; ++j) m += double{x[at(j)]} / double(C);
        for (int64_t j = 0; j < C; ++j) variance += std::pow(double{x[at(j)]} - m, 2) / double(C);
        const double s = 1 / std::sqrt(variance + 1e-5);
        for (int64_t j = 0; j < C; ++j) {
          const double unit = (double{x[at(j)]} - m) * s, slope = double{d_y[at(j)]};
          y2[at(j)] = unit * double{w[size_t(j)]} + (has_bias ? double{b[size_t(j)]} : 0);
          d_w2[size_t(j)] += slope * unit;
          d_b2[size_t(j)] += slope;
          g += slope * double{w[size_t(j)]} / double(C);
          gx += slope * double{w[size_t(j)]} * unit / double(C);
        }
        for (int64_t j = 0; j < C; ++j)
          d_x2[at(j)] =
              s * (double{d_y[at(j)]} * double{w[size_t(j)]} - g - (double{x[at(j)]} - m) * s * gx);
      }
      EXPECT_LT(distance(y, y2), 2e-6);
      EXPECT_LT(distance(d_w, d_w2), 3e-6);
      EXPECT_LT(distance(d_b, d_b2), 3e-6);
      if (C > 1) {  // of one channel nothing is left but rounding
        EXPECT_LT(distance(d_x, d_x2), 2e-5);
      }
    }
}

// R = 500 and V = 40,000 is more scores than are there at once.
TEST_P(RowsTest, ReadingsEqualTheFormulas) {
  struct Case {
    int64_t R, C, V;
    double temperature;
  };
  for (const Case& c : {Case{1, 1, 2, 1.0}, Case{5, 8, 65, 1.0}, Case{33, 16, 100, 0.7},
                        Case{0, 8, 10, 1.0}, Case{500, 8, 40'000, 1.3}}) {
    if (c.V > 1000 && GetParam() != usable_isas().back()) continue;
    SCOPED_TRACE(fmt::format("{} {} {}", c.R, c.C, c.V));
    const std::vector<float> x = numbers_.draw(c.R * c.C), head = numbers_.draw(c.V * c.C),
                             bias = numbers_.draw(c.V), of_p = numbers_.draw(c.R),
                             of_max = numbers_.draw(c.R);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < c.R; ++i) ids.push_back(i % 4 == 3 ? -1 : i * 7 % c.V);
    ReadoutProblem p;
    p.x = row_major(x.data(), c.R, c.C);
    p.head = row_major(head.data(), c.V, c.C);
    p.bias = bias.data();
    p.ids = ids.data();
    p.temperature = c.temperature;
    std::vector<RowReading> readings(size_t(c.R)), same(size_t(c.R));
    read_rows(p, readings.data());
    struct Gradients {
      std::vector<float> x, head, bias;
      ReadoutGradients pointers() { return {x.data(), head.data(), bias.data()}; }
    };
    Gradients both{std::vector<float>(x.size()), std::vector<float>(head.size()),
                   std::vector<float>(bias.size())};
    Gradients once = both, twice = both;
    readout_backward(p, readings.data(), of_p.data(), of_max.data(), both.pointers());
    readout_backward(p, readings.data(), of_p.data(), nullptr, twice.pointers());
    read_rows_and_slopes(p, of_p.data(), same.data(), once.pointers());
    EXPECT_EQ(once.x, twice.x);
    EXPECT_EQ(once.head, twice.head);
    EXPECT_EQ(once.bias, twice.bias);

    std::vector<double> d_x(x.size(), 0), d_head(head.size(), 0), d_bias(bias.size(), 0);
    for (int64_t i = 0; i < c.R; ++i) {
      std::vector<double> z(size_t(c.V), 0);
      double sum = 0, tempered = 0;
      size_t likeliest = 0;
      for (int64_t v = 0; v < c.V; ++v) {
        double& score = z[size_t(v)];
        score = double{bias[size_t(v)]};
        for (int64_t k = 0; k < c.C; ++k)
          score += double{x[size_t(i * c.C + k)]} * double{head[size_t(v * c.C + k)]};
        sum += std::exp(score);
        tempered += std::exp(score / c.temperature);
        if (score > z[likeliest]) likeliest = size_t(v);
      }
      const RowReading& r = readings[size_t(i)];
      EXPECT_NEAR(double{r.lse}, std::log(sum), 1e-5);
      EXPECT_NEAR(double{r.ln_max}, z[likeliest] - std::log(sum), 1e-5);
      EXPECT_NEAR(double{r.ln_max_tempered}, z[likeliest] / c.temperature - std::log(tempered),
                  1e-5);
      EXPECT_EQ(size_t(r.prediction), likeliest);
      EXPECT_EQ(same[size_t(i)].ln_p, r.ln_p);
      const int64_t id = ids[size_t(i)];
      EXPECT_NEAR(double{r.ln_p}, id < 0 ? 0 : z[size_t(id)] - std::log(sum), 1e-5);
      EXPECT_NEAR(double{r.ln_p_tempered},
                  id < 0 ? 0 : z[size_t(id)] / c.temperature - std::log(tempered), 1e-5);
      for (int64_t v = 0; v < c.V; ++v) {
        const double p1 = id < 0 ? 0 : double{of_p[size_t(i)]}, p2 = double{of_max[size_t(i)]};
        const double slope = p1 * (v == id) + p2 * (size_t(v) == likeliest) -
                             (p1 + p2) * std::exp(z[size_t(v)]) / sum;
        d_bias[size_t(v)] += slope;
        for (int64_t k = 0; k < c.C; ++k) {
          d_x[size_t(i * c.C + k)] += slope * double{head[size_t(v * c.C + k)]};
          d_head[size_t(v * c.C + k)] += slope * double{x[size_t(i * c.C + k)]};
        }
      }
    }
    EXPECT_LT(distance(both.x, d_x), 5e-6);
    EXPECT_LT(distance(both.head, d_head), 5e-6);
    EXPECT_LT(distance(both.bias, d_bias), 5e-6);
  }
}

TEST_P(RowsTest, EqualScoresHaveTheFirstPrediction) {
  const std::vector<float> x = {1, 0}, head = {2, 5, 3, 1, 3, 2};
  RowReading r;
  read_rows({row_major(x.data(), 1, 2), row_major(head.data(), 3, 2)}, &r);
  EXPECT_EQ(r.prediction, 1);
}

TEST_P(RowsTest, AdamWEqualsTheFormula) {
  const int64_t n = 40'001;
  std::vector<float> w = numbers_.draw(n), g = numbers_.draw(n), m = numbers_.draw(n), v;
  for (const float x : numbers_.draw(n)) v.push_back(x * x);
  double squares = 0;
  for (const float x : g) squares += double{x} * double{x};
  EXPECT_NEAR(sum_of_squares(g.data(), n), squares, 1e-9 * squares);
  const AdamWStep s = {0.5, 0.9, 0.99, 0.999, 0.01, 0.3, 1e-8};
  std::vector<double> w2, m2, v2;
  for (size_t i = 0; i < w.size(); ++i) {
    const double slope = double{g[i]} * 0.5;
    m2.push_back(0.9 * double{m[i]} + 0.1 * slope);
    v2.push_back(0.99 * double{v[i]} + 0.01 * slope * slope);
    w2.push_back(0.999 * double{w[i]} - 0.01 * m2[i] / (std::sqrt(v2[i]) / 0.3 + 1e-8));
  }
  adamw(s, w.data(), g.data(), m.data(), v.data(), n);
  EXPECT_LT(distance(w, w2), 1e-6);
  EXPECT_LT(distance(m, m2), 1e-6);
  EXPECT_LT(distance(v, v2), 1e-6);
}

// Draw by draw those of base/random.h, wherever they begin, and nothing is written beyond them.
TEST_P(RowsTest, DropoutTakesPhiloxDraws) {
  const uint64_t seed = 0xFEDCBA9876543210, stream = 0x89ABCDEF01234567;
  for (const uint64_t first :
       {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3}, (uint64_t{4} << 32) - 5,
        (uint64_t{1} << 63) + 1, ~uint64_t{0} - 999})
    for (const size_t count : {0, 1, 5, 127, 128, 129, 300})
      for (const double p : {1e-12, 0.3, 1 - 0x1p-53}) {
        SCOPED_TRACE(fmt::format("{} from {}, p = {}", count, first, p));
        const float keep = float(1 / (1 - p));
        const std::vector<float> x = numbers_.draw(int64_t(count));
        std::vector<float> multipliers(count + 1, 7.0f), y = multipliers, expected;
        for (size_t i = 0; i < count; ++i) {
          const uint32_t draw = philox(seed, (first + i) / 4, stream)[(first + i) % 4];
          expected.push_back(draw < uint64_t(p * 0x1p32) ? 0.0f : keep);
        }
        fill_dropout({multipliers.data(), count}, p, seed, stream, first);
        drop_rows({p, seed, &stream, &first}, x.data(), 1, int64_t(count), y.data());
        for (size_t i = 0; i < count; ++i) {
          ASSERT_EQ(multipliers[i], expected[i]) << i;
          ASSERT_EQ(y[i], x[i] * expected[i]) << i;
        }
        ASSERT_EQ(multipliers[count], 7.0f);
        ASSERT_EQ(y[count], 7.0f);
      }
}

}  // namespace
}  // namespace fathom
