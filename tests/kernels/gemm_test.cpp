#include "fathom/kernels/gemm.h"

#include <gmock/gmock.h>

#include <cmath>
#include <tuple>

#include "kernels/testing.h"

namespace fathom {
namespace {

using ::testing::Combine;
using ::testing::Values;

struct Sums {
  std::vector<double> sums, sizes;  // sizes: of the terms' absolute values
};

// In double precision, the way it is written on paper.
Sums product(const Matrix& a, const Matrix& b) {
  Sums c;
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < b.columns; ++j) {
      double sum = 0, size = 0;
      for (int64_t k = 0; k < a.columns; ++k) {
        const double term = double{a.data[i * a.row_stride + k * a.column_stride]} *
                            double{b.data[k * b.row_stride + j * b.column_stride]};
        sum += term;
        size += std::fabs(term);
      }
      c.sums.push_back(sum);
      c.sizes.push_back(size);
    }
  return c;
}

// The largest error, in units of the terms that were added.
double error(const std::vector<float>& c, const Sums& expected) {
  double worst = 0;
  for (size_t i = 0; i < c.size(); ++i)
    worst = std::max(worst, std::fabs(c[i] - expected.sums[i]) / expected.sizes[i]);
  return worst;
}

class GemmTest : public ::testing::TestWithParam<Isa> {
 protected:
  const ChosenIsa isa_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Every, GemmTest, ::testing::ValuesIn(usable_isas()), name_of_isa);

TEST_P(GemmTest, EqualsTheSumsOnPaper) {
  const int64_t sizes[] = {1, 7, 14, 31, 65, 200};
  Numbers numbers(1);
  for (const int64_t m : sizes)
    for (const int64_t n : {int64_t{1}, int64_t{17}, int64_t{32}, int64_t{65}, int64_t{300}})
      for (const int64_t k : {int64_t{1}, int64_t{33}, int64_t{384}, int64_t{800}}) {
        SCOPED_TRACE(fmt::format("{} x {} x {}", m, n, k));
        const std::vector<float> a = numbers.draw(m * k), b = numbers.draw(k * n);
        for (const bool a_turned : {false, true})
          for (const bool b_turned : {false, true}) {
            const Matrix A =
                a_turned ? row_major(a.data(), k, m).transposed() : row_major(a.data(), m, k);
            const Matrix B =
                b_turned ? row_major(b.data(), n, k).transposed() : row_major(b.data(), k, n);
            std::vector<float> c(static_cast<size_t>(m * n), -7.0f);
            gemm(A, B, c.data(), n);
            ASSERT_LT(error(c, product(A, B)), 1e-6);
          }
      }
}

// What becomes of a product, over several blocks of k, with columns that all threads share and with
// so many that each has its own.
TEST_P(GemmTest, FinishesOnceAtTheEnd) {
  Numbers numbers(2);
  const int64_t M = 20, K = 800;
  for (const int64_t N : {int64_t{40}, int64_t{2500}}) {
    const std::vector<float> a = numbers.draw(M * K), b = numbers.draw(K * N),
                             bias = numbers.draw(N), before = numbers.draw(M * N);
    const Sums sums = product(row_major(a.data(), M, K), row_major(b.data(), K, N));
    const auto exact = [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); };
    const auto slope = [&](double x) { return (exact(x + 1e-5) - exact(x - 1e-5)) / 2e-5; };
    for (const auto kind : {GemmFinish::kNone, GemmFinish::kGelu, GemmFinish::kGeluBackward})
      for (const bool has_bias : {false, true}) {
        std::vector<float> c(before), pre(before), activated(before);
        GemmFinish finish;
        finish.kind = kind;
        finish.bias = has_bias ? bias.data() : nullptr;
        finish.accumulate = kind == GemmFinish::kNone && !has_bias;
        finish.pre = pre.data();
        finish.activated = activated.data();
        finish.other_stride = N;
        gemm(row_major(a.data(), M, K), row_major(b.data(), K, N), c.data(), N, finish);
        std::vector<double> expected;
        for (size_t i = 0; i < c.size(); ++i) {
          const double sum = sums.sums[i] + (has_bias ? double{bias[i % size_t(N)]} : 0);
          const double x = double{before[i]};
          if (kind == GemmFinish::kNone) expected.push_back(sum + (has_bias ? 0 : x));
          if (kind == GemmFinish::kGelu) expected.push_back(exact(sum));
          if (kind == GemmFinish::kGeluBackward) expected.push_back(sum * slope(x));
          const double kept = double{kind == GemmFinish::kGelu ? pre[i] : activated[i]};
          if (kind != GemmFinish::kNone) {
            ASSERT_NEAR(kept, kind == GemmFinish::kGelu ? sum : exact(x), 1e-3);
          }
        }
        EXPECT_LT(distance(c, expected), 2e-6) << N << " columns, kind " << kind << has_bias;
      }
  }
}

// A factor that was packed before gives the bits that it gives itself, whatever the number of rows.
TEST_P(GemmTest, PackedFactorGivesTheSameBits) {
  Numbers numbers(3);
  PackedMatrix packed;  // one after the other in the same memory, where it fits
  for (const int64_t m : {1, 3, 33})
    for (const int64_t n : {int64_t{1}, int64_t{33}, int64_t{128}, int64_t{300}, int64_t{1500}})
      for (const int64_t k : {int64_t{1}, int64_t{48}, int64_t{900}})
        for (const bool turned : {false, true}) {
          SCOPED_TRACE(fmt::format("{} x {} x {}, {}", m, n, k, turned));
          const std::vector<float> a = numbers.draw(m * k), b = numbers.draw(k * n),
                                   bias = numbers.draw(n);
          const Matrix A = row_major(a.data(), m, k);
          const Matrix B =
              turned ? row_major(b.data(), n, k).transposed() : row_major(b.data(), k, n);
          packed.pack(B);
          ASSERT_EQ(packed.rows(), k);
          ASSERT_EQ(packed.columns(), n);
          GemmFinish finish;
          finish.kind = GemmFinish::kGelu;
          finish.bias = bias.data();
          std::vector<float> direct(size_t(m * n)), kept(size_t(m * n), -1.0f);
          gemm(A, B, direct.data(), n, finish);
          gemm(A, packed, kept.data(), n, finish);
          ASSERT_EQ(direct, kept);
        }
}

}  // namespace
}  // namespace fathom
