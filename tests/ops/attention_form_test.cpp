// Attention of other forms: single against double precision, and many queries against few.
#include "fathom/ops/attention_form.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include "fathom/ops/rms_norm.h"
#include "ops/twins.h"

namespace fathom::testing {
namespace {

std::vector<AttentionForm> all_forms() {
  using F = AttentionForm;
  std::vector<AttentionForm> all;
  for (const auto weights : {F::kSoftmax, F::kSigmoid})
    for (const auto values : {F::kByHead, F::kConcat, F::kSum, F::kMean})
      for (const bool strict : {false, true})
        for (const bool sink : {false, true})
          if (!sink || weights == F::kSoftmax) {
            F form;
            form.weights = weights, form.values = values, form.strict = strict, form.sink = sink;
            all.push_back(form);
          }
  return all;
}

std::string named(const AttentionForm& f) {
  return fmt::format("weights {}, values {}, strict {}, sink {}", int(f.weights), int(f.values),
                     f.strict, f.sink);
}

// Keys of the future and every fifth one are hidden, and some queries see none.
// Of queries from `first` on.
Described holes(int64_t B, int64_t T, int64_t first, int64_t count) {
  Described d(B, count, T);
  d.place_queries([=](int64_t, int64_t q) { return first + q; });
  d.hide([](int64_t b, int64_t k) { return (k * 7 + b * 3) % 5 == 0; });
  d.blind([=](int64_t, int64_t q) { return (first + q) % 6 == 4; });
  return d;
}
Described holes(int64_t B, int64_t T) {
  return holes(B, T, 0, T);
}

std::shared_ptr<const WeightDropout> draws_of(int64_t B, int64_t T, double p) {
  if (p == 0) return nullptr;
  Batch batch;
  batch.tokens_BT = random_tokens({B, T}, 5, 1);
  const Rows rows(batch);
  return std::make_shared<const WeightDropout>(
      RandomField(1, 2, 3).attention_draws("here", p, places(rows), places(rows), T + 1));
}

TEST_F(Twins, AttentionOfOtherForms) {
  const int64_t B = 2, T = 11, H = 3, D = 4;
  for (const AttentionForm& form : all_forms())
    for (const double p : {0.0, 0.3}) {
      SCOPED_TRACE(named(form));
      const int64_t E = form.values == AttentionForm::kByHead ? H * 5 : 5;
      const auto draws = draws_of(B, T, p);
      expect_twins(
          [&](const Tensors& in) {
            return Tensors{attention(in[0], in[1], in[2], H, holes(B, T), draws, form)};
          },
          {random_normal({B, T, H * D}, 1), random_normal({B, T, H * D}, 2),
           random_normal({B, T, E}, 3)});
    }
}

// More queries than a block, more keys and channels than kernels add up at a time; values are
// columns of something wider.
TEST_F(Twins, AttentionOfManyQueriesToAWideValueThatHeadsShare) {
  const int64_t B = 1, T = 400, H = 2, D = 3, E = 390;
  AttentionForm form;
  form.values = AttentionForm::kMean;
  expect_twins(
      [&](const Tensors& in) {
        return Tensors{
            attention(in[0], in[1], in[2].narrow(2, 3, E), H, holes(B, T), nullptr, form)};
      },
      {random_normal({B, T, H * D}, 1), random_normal({B, T, H * D}, 2),
       random_normal({B, T, E + 5}, 3)});
}

// Scores that compare nothing: equal ones, and ones by position.
TEST_F(Twins, AttentionByPositionToAValueThatHeadsShare) {
  const int64_t B = 2, T = 13, H = 3, E = 4;
  for (const double slope : {0.0, 0.25})
    for (const auto values : {AttentionForm::kConcat, AttentionForm::kSum}) {
      AttentionForm form;
      form.values = values, form.strict = true;
      const auto position = at::arange(T, at::TensorOptions(at::kDouble)).view({1, T, 1});
      expect_twins(
          [&](const Tensors& in) {
            const Tensor q = at::full({B, T, H}, slope, in[0].options());
            const Tensor k = position.expand({B, T, H}).to(in[0].scalar_type());
            return Tensors{attention(q, k, in[0], H, holes(B, T), nullptr, form)};
          },
          {random_normal({B, T, E}, 3)});
    }
}

// Queries of a text's end to the keys that a decoder keeps, turned and with room for more: bit for
// bit what they are among all queries.
TEST_F(Twins, KeptKeysOfOtherFormsAreAnsweredAlike) {
  const int64_t B = 2, T = 70, H = 3, D = 4, C = H * D;
  const auto floats = [](at::IntArrayRef shape, unsigned seed) {
    return random_normal(shape, seed).to(at::kFloat);
  };
  const at::NoGradGuard no_grad;
  for (const AttentionForm& form : all_forms())
    for (const int64_t Q : {1, 3, 9}) {
      SCOPED_TRACE(named(form));
      const int64_t E = form.values == AttentionForm::kByHead ? H * 5 : 5;
      const Tensor q = floats({B, T, C}, 1), v = floats({B, T + 9, E}, 3);
      const Tensor k_BCK = floats({B, C, T + 9}, 2);
      const Tensor all = attention(q, k_BCK.narrow(2, 0, T).transpose(1, 2).contiguous(),
                                   v.narrow(1, 0, T), H, holes(B, T), nullptr, form);
      const Described some = holes(B, T, T - Q, Q);
      const Tensor rows = q.narrow(1, T - Q, Q).reshape({B * Q, C});
      const Tensor few = attention_of_rows(rows, {k_BCK, v, some.mask}, H, form);
      EXPECT_TRUE(same_bits(few, all.narrow(1, T - Q, Q).reshape({B * Q, -1}))) << Q;
    }
}

// Queries and keys of one channel, as scores by position have them.
TEST_F(Twins, AttentionOfHeadsOfOneChannel) {
  const int64_t B = 2, T = 13, H = 3;
  for (const int64_t E : {1, 6})
    expect_twins(
        [&](const Tensors& in) {
          return Tensors{attention(in[0], in[1], in[2], H, holes(B, T), nullptr)};
        },
        {random_normal({B, T, H}, 1), random_normal({B, T, H}, 2),
         random_normal({B, T, H * E}, 3)});
}

// Many queries are computed some at a time, forward and backward: what a few by themselves give.
TEST(AttentionForm, ManyQueriesAreFewOnesAfterTheOther) {
  const int64_t B = 2, T = 300, H = 2, D = 3, few = 100;
  const Described mask = holes(B, T);
  for (const AttentionForm& form : all_forms()) {
    if (form.strict) continue;  // the mask's business
    SCOPED_TRACE(named(form));
    const int64_t E = form.values == AttentionForm::kByHead ? H * 2 : 4;
    const Tensors in = {random_normal({B, T, H * D}, 1), random_normal({B, T, H * D}, 2),
                        random_normal({B, T, E}, 3)};
    const Result all = run(
        [&](const Tensors& x) {
          return Tensors{attention(x[0], x[1], x[2], H, mask, nullptr, form)};
        },
        in, at::kDouble);
    const Result pieces = run(
        [&](const Tensors& x) {
          Tensors out;
          for (int64_t q = 0; q < T; q += few)
            out.push_back(attention(x[0].narrow(1, q, few), x[1], x[2], H, holes(B, T, q, few),
                                    nullptr, form));
          return Tensors{at::cat(out, 1)};
        },
        in, at::kDouble);
    EXPECT_LT(max_difference(all.outputs[0], pieces.outputs[0]), 1e-12);
    for (size_t i = 0; i < 3; ++i)
      EXPECT_LT(max_difference(all.gradients[i], pieces.gradients[i]), 1e-11) << i;
    const at::NoGradGuard no_grad;
    EXPECT_LT(
        max_difference(all.outputs[0], attention(in[0], in[1], in[2], H, mask, nullptr, form)),
        1e-12);
  }
}

// Dropout has the same draws, however many queries there are at a time.
TEST(AttentionForm, DrawsAreThoseOfTheWhole) {
  const int64_t B = 2, T = 300, H = 2;
  AttentionForm form;
  form.values = AttentionForm::kSum;
  const auto draws = draws_of(B, T, 0.3);
  const Described mask(B, T, T);
  // Uniform weights of values 1: what is left of a query's weights.
  const Tensor none = at::zeros({B, T, H}, at::TensorOptions(at::kDouble));
  const Tensor ones = at::ones({B, T, 1}, at::TensorOptions(at::kDouble));
  const Tensor kept_BT = attention(none, none, ones, H, mask, draws, form).squeeze(2);
  const Tensor multipliers_BHTT = draws->multipliers(H, none);
  const Tensor seen_TT = blocked_of(mask).select(0, 0).logical_not().to(at::kDouble);
  const Tensor expected_BT =
      (multipliers_BHTT * seen_TT).sum(-1).sum(1) / seen_TT.sum(-1).unsqueeze(0);
  EXPECT_LT(max_difference(kept_BT, expected_BT), 1e-12);
}

TEST_F(Twins, RmsNorm) {
  for (const Shape& x : {Shape{1, 2}, Shape{3, 5, 7}, Shape{200, 33}, Shape{0, 4}})
    for (const bool has_bias : {true, false})
      expect_twins([](const Tensors& in) { return Tensors{rms_norm(in[0], in[1], in[2], 1e-3)}; },
                   {random_normal(x, 1), random_normal({x.back()}, 2),
                    has_bias ? random_normal({x.back()}, 3) : Tensor()});
}

}  // namespace
}  // namespace fathom::testing
