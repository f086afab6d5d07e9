// A walk's random numbers belong to their addresses: batches may be split and rows may leave.
#include <ATen/ops/cat.h>

#include "property/seen.h"

namespace fathom::property {
namespace {

constexpr int64_t kHeadCount = 3, kSpan = 12;
const Tensor kLike = tensor_of({}, {0});

// The three kinds of numbers of a site, (R, ...); attention's only between rows that exist.
std::vector<Tensor> draws(const RandomField& field, const Rows& rows,
                          const std::string& site = "site") {
  const Tensor attention = field.attention_draws(site, 0.4, places(rows), places(rows), kSpan)
                               .multipliers(kHeadCount, kLike);
  const Tensor by_query = attention.transpose(1, 2);
  return {field.dropout(site, 0.4, rows, 7, kLike), field.normal(site, rows, 7, kLike),
          rows.unpad(by_query.reshape({by_query.size(0), by_query.size(1), -1}))};
}

std::vector<Batch> field_batches() {
  return {text_batch(5, 6, 1), ragged_batch(5, 6, 2)};
}

TEST(RandomField, SplittingABatchChangesNoNumber) {
  for (const Batch& batch : field_batches()) {
    const std::vector<Tensor> whole = draws(RandomField(1, 2, 0), Rows(batch));
    for (const auto& [first, n] : {std::pair<int64_t, int64_t>{0, 2}, {2, 2}, {4, 1}, {1, 4}}) {
      const Rows part(sequences(batch, first, n));
      const std::vector<Tensor> alone = draws(RandomField(1, 2, first), part);
      for (size_t i = 0; i < whole.size(); ++i)
        EXPECT_TRUE(same_bits(alone[i], whole[i].narrow(0, first * 6, n * 6))) << i;
      // And not at another address.
      const std::vector<Tensor> moved = draws(RandomField(1, 2, first + 1), part);
      for (size_t i = 0; i < whole.size(); ++i)
        EXPECT_FALSE(same_bits(moved[i], whole[i].narrow(0, first * 6, n * 6))) << i;
    }
  }
}

TEST(RandomField, RowsThatLeaveChangeNoNumber) {
  for (const Batch& batch : field_batches()) {
    const Rows rows(batch);
    for (const double kept : {0.2, 0.5, 0.9}) {
      const Tensor keep_R = random_normal({rows.count()}, unsigned(10 * kept)).lt(kept);
      // The second sequence leaves as a whole.
      keep_R.narrow(0, 6, 6).fill_(false);
      const Rows fewer = rows.select(keep_R);
      ASSERT_GT(fewer.count(), 0);
      const RandomField field(1, 2, 3);
      const Tensor index = keep_R.nonzero().squeeze(1);
      EXPECT_TRUE(same_bits(field.normal("site", fewer, 7, kLike),
                            field.normal("site", rows, 7, kLike).index_select(0, index)));
      EXPECT_TRUE(same_bits(field.dropout("site", 0.4, fewer, 7, kLike),
                            field.dropout("site", 0.4, rows, 7, kLike).index_select(0, index)));
      const Tensor before = field.attention_draws("site", 0.4, places(rows), places(rows), kSpan)
                                .multipliers(kHeadCount, kLike);
      const Tensor after = field.attention_draws("site", 0.4, places(fewer), places(fewer), kSpan)
                               .multipliers(kHeadCount, kLike);
      for (int64_t b = 0; b < 5; ++b) {
        const Tensor places = keep_R.narrow(0, b * 6, 6).nonzero().squeeze(1);
        const int64_t n = places.size(0);
        const Tensor left = before.select(0, b).index_select(1, places).index_select(2, places);
        EXPECT_TRUE(same_bits(after.select(0, b).narrow(1, 0, n).narrow(2, 0, n), left)) << b;
      }
    }
  }
}

// Fewer queries than keys: as when one token is decoded.
TEST(RandomField, QueriesAloneGetTheirOwnNumbers) {
  const Rows rows(text_batch(3, 6, 1));
  const Tensor last_R = rows.position_R.eq(5);
  const RandomField field(1, 2, 0);
  const auto of = [&](const Rows& queries) {
    return field.attention_draws("site", 0.4, places(queries), places(rows), kSpan)
        .multipliers(kHeadCount, kLike);
  };
  EXPECT_TRUE(same_bits(of(rows.select(last_R)), of(rows).narrow(2, 5, 1)));
}

// Share of equal numbers at the same place.
double overlap(const Tensor& a, const Tensor& b) {
  return a.eq(b).to(at::kDouble).mean().item<double>();
}

TEST(RandomField, EveryPartOfAnAddressCounts) {
  const Rows rows(text_batch(5, 9, 1));
  const std::vector<Tensor> base = draws(RandomField(1, 2, 0), rows);
  const std::vector<std::vector<Tensor>> others = {
      draws(RandomField(2, 2, 0), rows), draws(RandomField(1, 3, 0), rows),
      draws(RandomField(1, 2, 1), rows), draws(RandomField(1, 2, 0), rows, "sitf"),
      draws(RandomField(2, 1, 0), rows), draws(RandomField(1, 2, 0), rows, "site.0")};
  // Independent draws of a rate of 0.4 agree in 0.52 of all places.
  for (const auto& other : others) {
    EXPECT_NEAR(overlap(base[0], other[0]), 0.52, 0.13);
    EXPECT_EQ(overlap(base[1], other[1]), 0);
    EXPECT_NEAR(overlap(base[2], other[2]), 0.52, 0.05);
  }
  // Neighbours in sequence, position, head and channel are no copies of one another either.
  for (const Tensor& x_R : {base[0], base[2]})
    for (const int64_t shift : {1, 9}) {
      const int64_t n = x_R.size(0) - shift;
      EXPECT_NEAR(overlap(x_R.narrow(0, 0, n), x_R.narrow(0, shift, n)), 0.52, 0.13);
    }
  const Tensor heads = base[2].view({45, kHeadCount, 9});
  EXPECT_NEAR(overlap(heads.select(1, 0), heads.select(1, 1)), 0.52, 0.13);
  EXPECT_NEAR(overlap(heads.narrow(2, 0, 8), heads.narrow(2, 1, 8)), 0.52, 0.13);
}

TEST(RandomField, RatesAreRight) {
  const Rows rows(text_batch(8, 9, 1));
  const RandomField field(7, 0, 0);
  for (const double p : {0.05, 0.5, 0.9}) {
    for (const Tensor& x : {field.dropout("site", p, rows, 500, kLike),
                            field.attention_draws("site", p, places(rows), places(rows), kSpan)
                                .multipliers(50, kLike)}) {
      const double n = double(x.numel()), sigma = std::sqrt(p * (1 - p) / n);
      EXPECT_NEAR(x.eq(0).to(at::kDouble).mean().item<double>(), p, 5 * sigma);
      // What stays makes up for what goes.
      EXPECT_LE(gap(x.masked_select(x.ne(0)),
                    at::full({x.ne(0).sum().item<int64_t>()}, 1 / (1 - p), kLike.options())),
                1e-6 / (1 - p));
    }
  }
  const Tensor x = field.normal("site", rows, 500, kLike);
  const double n = double(x.numel());
  EXPECT_NEAR(x.mean().item<double>(), 0, 5 / std::sqrt(n));
  EXPECT_NEAR(x.pow(2).mean().item<double>(), 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(x.pow(4).mean().item<double>(), 3, 5 * std::sqrt(96 / n));
  EXPECT_FALSE(field.dropout("site", 0, rows, 5, kLike).defined());
}

TEST(RandomField, ActsInTrainingOnly) {
  set_threads(1);
  const Batch batch = text_batch(4, kBlock, 3);
  const Part whole = [](const Tensor& x) { return x; };
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const Subject s = subject(c, batch, at::kFloat);
    const auto change = [&](bool training) {
      WalkOptions one = walk_options(training), two = one;
      two.random = RandomField(6, 2, 3);
      return difference(look(s.walk(), s.program(), batch, one), whole,
                        look(s.walk(), s.program(), batch, two), whole);
    };
    const bool draws = c.acts() && c.config.halting.rule == HaltRule::kBernoulli;
    if (has_loop_noise_in_evaluation(c.config) || draws)
      EXPECT_GT(change(false).largest, 0);
    else
      EXPECT_EQ(change(false).largest, 0) << change(false);
    EXPECT_EQ(change(true).largest > 0, c.random() || has_loop_noise(c.config) || draws);
  }
}

}  // namespace
}  // namespace fathom::property
