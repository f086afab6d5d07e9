// The random field that dropout reads: what it draws, and that only the address decides.
#include <gtest/gtest.h>

#include <cmath>

#include "fathom/kernels/random_field.h"
#include "fathom/model/walk/places.h"
#include "fathom/model/walk/random_field.h"
#include "fathom/ops/plain.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

// Every position of B sequences of T.
Rows rows_of(int64_t B, int64_t T) {
  return Rows(batch_of(random_tokens({B, T}, 7, 1), {}));
}

// Those of them that random_tokens with this seed keeps, about half, of each sequence another
// number.
Rows some_of(const Rows& rows, unsigned seed) {
  return rows.select(random_tokens({rows.count()}, 2, seed).eq(1));
}

const Tensor& like() {
  static const Tensor tensor = at::empty({0}, at::TensorOptions(at::kFloat));
  return tensor;
}

struct RandomFieldShape {
  int64_t B, T, C;
};

std::vector<double> mask(const RandomField& field, const std::string& site, double p,
                         RandomFieldShape s) {
  return numbers(field.dropout(site, p, rows_of(s.B, s.T), s.C, like()));
}

void expect_dropout(const std::vector<double>& multipliers, double p) {
  const auto n = static_cast<double>(multipliers.size());
  double zeros = 0;
  for (const double v : multipliers) {
    EXPECT_TRUE(v == 0 || v == static_cast<float>(1 / (1 - p))) << v;
    zeros += v == 0;
  }
  EXPECT_NEAR(zeros / n, p, 4 * std::sqrt(p * (1 - p) / n));
}

TEST(Dropout, ValuesAndShareOfZeros) {
  const RandomField field(1, 2, 3);
  for (const double p : {0.1, 0.5, 0.9}) {
    expect_dropout(mask(field, "site", p, {8, 50, 100}), p);
    const Rows rows = rows_of(8, 50);
    expect_dropout(numbers(field.attention_draws("site", p, places(rows), places(rows), 50)
                               .multipliers(2, like())),
                   p);
  }
}

TEST(Dropout, IsIndependentBetweenSitesStepsSequencesAndSeeds) {
  const double p = 0.3;
  const RandomFieldShape shape = {1, 100, 100};
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

TEST(Dropout, DoesNotDependOnWhichRowsAreLeft) {
  const RandomField field(1, 4, 10);
  const Rows all = rows_of(4, 9);
  const Tensor whole = field.dropout("mlp_out.0.0", 0.5, all, 7, like());
  for (unsigned seed = 1; seed < 5; ++seed) {
    const Rows some = some_of(all, seed);
    ASSERT_FALSE(some.even());
    EXPECT_TRUE(same_bits(field.dropout("mlp_out.0.0", 0.5, some, 7, like()),
                          whole.index_select(0, some.source())));
  }
}

// A row's numbers follow its position, wherever in the batch it stands.
TEST(Dropout, IsAddressedByPosition) {
  Batch batch = batch_of(random_tokens({2, 3}, 7, 1), {});
  batch.position_BT = tensor_of({4, 6, 7, 0, 1, 8}, {2, 3}).to(at::kLong);
  const RandomField field(1, 4, 10);
  const Tensor placed = field.dropout("site", 0.5, Rows(batch), 7, like()).view({2, 3, 7});
  const Tensor whole = field.dropout("site", 0.5, rows_of(2, 9), 7, like()).view({2, 9, 7});
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t t = 0; t < 3; ++t)
      EXPECT_TRUE(same_bits(placed[b][t], whole[b][batch.position_BT[b][t].item<int64_t>()]));
}

TEST(AttentionDropout, IsAddressedByPositionHeadAndKey) {
  const int64_t B = 3, T = 5, H = 2, span = 8;
  const RandomField field(1, 4, 10);
  const Rows rows = rows_of(B, T);
  const Tensor m =
      field.attention_draws("site", 0.5, places(rows), places(rows), span).multipliers(H, like());
  ASSERT_EQ(m.sizes(), (std::vector<int64_t>{B, H, T, T}));
  // (position * H + head) * span + key is where a site of width H * span has channel
  // head * span + key.
  const Tensor wide = field.dropout("site", 0.5, rows, H * span, like()).view({B, T, H, span});
  EXPECT_TRUE(same_bits(m, wide.narrow(3, 0, T).transpose(1, 2)));
}

TEST(AttentionDropout, DoesNotDependOnTheBatchNorOnWhichRowsAreLeft) {
  const int64_t B = 3, T = 7, H = 2, span = 8;
  const Rows all = rows_of(B, T);
  const Tensor whole = RandomField(1, 4, 10)
                           .attention_draws("s", 0.5, places(all), places(all), span)
                           .multipliers(H, like());
  for (int64_t b = 0; b < B; ++b) {
    const Rows one = rows_of(1, T);
    const RandomField field(1, 4, 10 + b);
    EXPECT_TRUE(same_bits(
        field.attention_draws("s", 0.5, places(one), places(one), span).multipliers(H, like())[0],
        whole[b]));
  }
  const Rows queries = some_of(all, 1), keys = some_of(all, 2);
  const Tensor some = RandomField(1, 4, 10)
                          .attention_draws("s", 0.5, places(queries), places(keys), span)
                          .multipliers(H, like());
  ASSERT_EQ(some.sizes(), (std::vector<int64_t>{B, H, queries.longest(), keys.longest()}));
  for (size_t b = 0; b < size_t(B); ++b)
    for (int64_t i = queries.offsets()[b]; i < queries.offsets()[b + 1]; ++i)
      for (int64_t j = keys.offsets()[b]; j < keys.offsets()[b + 1]; ++j)
        for (int64_t h = 0; h < H; ++h)
          EXPECT_TRUE(same_bits(
              some[int64_t(b)][h][i - queries.offsets()[b]][j - keys.offsets()[b]],
              whole[int64_t(b)][h][queries.positions()[size_t(i)]][keys.positions()[size_t(j)]]));
}

TEST(Dropout, NoProbabilityIsNoOperation) {
  const RandomField field(1, 2, 3);
  const Rows rows = rows_of(2, 3);
  EXPECT_FALSE(field.dropout("site", 0.0, rows, 3, like()).defined());
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_EQ(field.row_draws("site", 0.0, rows, 3), nullptr);
  EXPECT_TRUE(apply_dropout(x, nullptr).is_same(x));
}

TEST(Dropout, KeepsTheTypeOfWhatItMultiplies) {
  const Tensor x = random_normal({6, 3}, 1);
  const RandomField field(1, 2, 3);
  const Rows rows = rows_of(2, 3);
  const Tensor multipliers = field.dropout("site", 0.5, rows, 3, x);
  EXPECT_EQ(multipliers.scalar_type(), at::kDouble);
  EXPECT_EQ(field.attention_draws("site", 0.5, places(rows), places(rows), 3)
                .multipliers(1, x)
                .scalar_type(),
            at::kDouble);
  const Tensor dropped = apply_dropout(x, field.row_draws("site", 0.5, rows, 3));
  EXPECT_EQ(dropped.scalar_type(), at::kDouble);
  EXPECT_TRUE(same_bits(dropped, x * multipliers));
}

TEST(Normal, IsStandardAndFollowsItsAddress) {
  const RandomField field(1, 4, 10);
  const Rows all = rows_of(4, 50);
  const Tensor whole = field.normal("loop.0", all, 100, like());
  double mean = 0, square = 0, fourth = 0;
  const std::vector<double> values = numbers(whole);
  const auto n = static_cast<double>(values.size());
  for (const double v : values) mean += v / n, square += v * v / n, fourth += std::pow(v, 4) / n;
  EXPECT_NEAR(mean, 0, 4.5 / std::sqrt(n));
  EXPECT_NEAR(square, 1, 4.5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth, 3, 4.5 * std::sqrt(96 / n));

  EXPECT_TRUE(same_bits(RandomField(1, 4, 12).normal("loop.0", rows_of(1, 50), 100, like()),
                        whole.narrow(0, 2 * 50, 50)));
  const Rows some = some_of(all, 1);
  EXPECT_TRUE(
      same_bits(field.normal("loop.0", some, 100, like()), whole.index_select(0, some.source())));
  EXPECT_FALSE(same_bits(field.normal("loop.1", all, 100, like()), whole));
  EXPECT_FALSE(same_bits(RandomField(1, 5, 10).normal("loop.0", all, 100, like()), whole));
  EXPECT_FALSE(same_bits(RandomField(2, 4, 10).normal("loop.0", all, 100, like()), whole));
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
