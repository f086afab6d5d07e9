// What is done by hand with a few rows is what libtorch does with many, to the last bit.
#include "fathom/ops/few_rows.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "fathom/ops/ops.h"
#include "ops/testing.h"

namespace fathom::testing {
namespace {

// Where a gradient could be wanted, everything is libtorch's own.
void expect_the_same(const std::function<Tensor()>& f) {
  const Tensor expected = f();
  const at::NoGradGuard no_grad;
  const Tensor by_hand = f();
  ASSERT_EQ(by_hand.sizes(), expected.sizes());
  ASSERT_EQ(by_hand.scalar_type(), expected.scalar_type());
  const Tensor a = by_hand.contiguous(), b = expected.contiguous();
  EXPECT_TRUE(a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

Tensor index_of(const std::vector<double>& places) {
  return tensor_of(places, {int64_t(places.size())}).to(at::kLong);
}

Tensor mask(std::vector<bool> values) {
  Tensor out = at::zeros({int64_t(values.size())}, at::TensorOptions(at::kBool));
  for (size_t i = 0; i < values.size(); ++i) out.data_ptr<bool>()[i] = values[i];
  return out;
}

TEST(FewRows, MasksAreLibtorchs) {
  for (const std::vector<bool>& a : {std::vector<bool>{}, {true}, {false, true, true, false}}) {
    std::vector<bool> b = a;
    for (size_t i = 0; i < b.size(); i += 2) b[i] = !b[i];
    expect_the_same([&] { return either(mask(a), mask(b)); });
    expect_the_same([&] { return both(mask(a), mask(b)); });
    expect_the_same([&] { return none_of(mask(a)); });
    expect_the_same([&] { return places_of(mask(a)); });
    const bool any = any_of(mask(a));
    const at::NoGradGuard no_grad;
    EXPECT_EQ(any_of(mask(a)), any);
  }
  const Tensor a = mask({true, false});
  for (const auto& f : {either, both}) {
    EXPECT_TRUE(f(a, Tensor()).is_same(a));
    EXPECT_TRUE(f(Tensor(), a).is_same(a));
    EXPECT_FALSE(f(Tensor(), Tensor()).defined());
  }
  EXPECT_FALSE(none_of(Tensor()).defined());
  EXPECT_FALSE(any_of(Tensor()));
}

TEST(FewRows, RowsAreLibtorchs) {
  const Tensor places = index_of({3, 0});
  for (const auto type : {at::kFloat, at::kDouble, at::kLong, at::kBool}) {
    const Tensor x = (10 * random_normal({4, 3}, 1)).to(type);
    const Tensor others = (10 * random_normal({4, 3}, 2)).to(type);
    expect_the_same([&] { return take_rows(x, places); });
    expect_the_same([&] { return take_rows(x.select(1, 0).contiguous(), places); });
    expect_the_same([&] { return take_rows(x, places.narrow(0, 0, 0)); });
    expect_the_same([&] { return take_rows_of_both(x, others, index_of({5, 0, 7, 3})); });
    expect_the_same([&] { return take_rows_of_both(x.narrow(0, 0, 0), others, places); });
    expect_the_same([&] { return put_rows(x, places, others.narrow(0, 0, 2)); });
    expect_the_same([&] {
      const Tensor own = x.clone();
      put_rows_into(own, places, others.narrow(0, 0, 2));
      EXPECT_TRUE(own.equal(put_rows(x, places, others.narrow(0, 0, 2))));
      return own;
    });
    expect_the_same([&] { return where_rows(mask({true, false, false, true}), x, others); });
    expect_the_same([&] { return take_rows(x.t(), index_of({2, 0})); });
  }
}

TEST(FewRows, NumbersAreLibtorchs) {
  for (const int64_t R : {0, 1, 5}) {
    const Tensor a = random_normal({R, 7}, 1).to(at::kFloat);
    const Tensor b = random_normal({R, 7}, 2).to(at::kFloat);
    const Tensor row = random_normal({1, 7}, 3).to(at::kFloat);
    const Tensor number = random_normal({1, 1}, 4).to(at::kFloat);
    expect_the_same([&] { return beside(a, b.narrow(1, 0, 3).contiguous()); });
    expect_the_same([&] { return plus(a, b); });
    expect_the_same([&] { return plus(a, row); });
    expect_the_same([&] { return minus(a, b); });
    expect_the_same([&] { return times(a, b); });
    expect_the_same([&] { return times(a, row); });
    expect_the_same([&] { return times(a, number); });
    expect_the_same([&] { return times(row, number.expand({1, 7}).contiguous()); });
    expect_the_same([&] { return times(a, 0.3); });
    expect_the_same([&] { return minus(a, number); });
    for (const double x : {0.0, 0.3, std::numeric_limits<double>::quiet_NaN()}) {
      expect_the_same([&] { return filled_like(a, x); });
      expect_the_same([&] { return filled_like(a.to(at::kDouble), x); });
    }
  }
}

TEST(FewRows, RowsOfZerosAreLikeOthers) {
  for (const auto type : {at::kFloat, at::kLong, at::kBool}) {
    const Tensor x = random_normal({2, 3}, 1).to(type);
    for (const int64_t rows : {0, 4, 5000}) {
      const Tensor zeros = zero_rows(x, rows);
      EXPECT_TRUE(same_bits(zeros, at::zeros({rows, 3}, at::TensorOptions(type))));
    }
    EXPECT_EQ(zero_rows(x.select(1, 0), 4).sizes(), (std::vector<int64_t>{4}));
  }
  for (const int64_t rows : {0, 3, 10'000}) {
    const Tensor like = random_normal({2, 3}, 1).to(at::kFloat);
    EXPECT_TRUE(same_bits(numbers_like(like, rows, 0.3),
                          at::full({rows}, 0.3, at::TensorOptions(at::kDouble))));
  }
}

// Nearly what libtorch makes of them, and one alone as among many.
TEST(FewRows, ExponentialsAreOfEachNumber) {
  const Tensor x = (3 * random_normal({20'000}, 1)).to(at::kFloat);
  const at::NoGradGuard no_grad;
  for (const auto& [by_hand, exact] : {std::pair<Tensor, Tensor>{exps(x), x.to(at::kDouble).exp()},
                                       {sigmoids(x), x.to(at::kDouble).sigmoid()}}) {
    EXPECT_EQ(by_hand.scalar_type(), at::kFloat);
    EXPECT_LE((by_hand.to(at::kDouble) / exact - 1).abs().max().item<double>(), 3e-7);
  }
  for (const int64_t i : {0, 8191, 8192, 19'999}) {
    EXPECT_TRUE(same_bits(exps(x).narrow(0, i, 1), exps(x.narrow(0, i, 1))));
    EXPECT_TRUE(same_bits(sigmoids(x).narrow(0, i, 1), sigmoids(x.narrow(0, i, 1))));
  }
  EXPECT_EQ(exps(x.to(at::kDouble)).scalar_type(), at::kDouble);
}

// Not to the last bit: they are in double precision.
TEST(FewRows, LengthsAreOfEachRow) {
  const at::NoGradGuard no_grad;
  for (const int64_t R : {0, 1, 5, 300}) {
    const Tensor a = random_normal({R, 40}, 1).to(at::kFloat);
    const Tensor b = random_normal({R, 40}, 2).to(at::kFloat);
    const auto exact = [](const Tensor& x) { return x.to(at::kDouble).norm(2, {1}); };
    EXPECT_LE(max_difference(lengths(a), exact(a)), 1e-12);
    EXPECT_LE(max_difference(distances(a, b), exact(a.to(at::kDouble) - b.to(at::kDouble))), 1e-12);
    for (int64_t i = 0; i < R; i += 7)
      EXPECT_TRUE(same_bits(distances(a, b).narrow(0, i, 1),
                            distances(a.narrow(0, i, 1), b.narrow(0, i, 1))));
  }
}

TEST(FewRows, ScoresAreLibtorchs) {
  Tensor a = random_normal({6}, 1), b = random_normal({6}, 2);
  b.data_ptr<double>()[2] = std::numeric_limits<double>::quiet_NaN();
  expect_the_same([&] { return quotients(a, b); });
  expect_the_same([&] { return gaps(a, b); });
  expect_the_same([&] { return where_known(a, b); });
  expect_the_same([&] { return below(b, 0.1); });
  expect_the_same([&] { return products(a, b); });
  expect_the_same([&] { return known_or(b, 7); });
  for (const Tensor& x : {a, b, a.to(at::kFloat), b.to(at::kFloat)})
    for (const double limit : {0.1, x[0].item<double>(), 1e300}) {
      expect_the_same([&] { return at_least(x, limit); });
      expect_the_same([&] { return at_most(x, limit); });
    }
  for (const auto type : {at::kFloat, at::kLong, at::kDouble})
    expect_the_same([&] { return in_double((10 * a).to(type)); });
  EXPECT_FALSE(below(b, 1e9)[2].item<bool>()) << "no number is below nothing";
}

}  // namespace
}  // namespace fathom::testing
