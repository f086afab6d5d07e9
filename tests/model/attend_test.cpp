// Keys of rows that ask nothing, with and without a cache, against all rows asking.
#include "fathom/model/walk/attend.h"

#include <ATen/ops/full.h>
#include <ATen/ops/where.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "errors.h"
#include "fathom/model/walk/attention_cache.h"
#include "model/walking.h"

namespace fathom::testing {
namespace {

constexpr int64_t kAttendB = 3, kAttendT = 7, kAttendHeads = 2, kAttendC = 6;

struct Qkv {
  Tensor q_RC, k_RC, v_RC;
  Qkv select(const Tensor& rows) const {
    return {q_RC.index_select(0, rows), k_RC.index_select(0, rows), v_RC.index_select(0, rows)};
  }
};

Qkv any_qkv(at::ScalarType type, unsigned seed = 1) {
  const auto leaf = [&](unsigned n) {
    return random_normal({kAttendB * kAttendT, kAttendC}, seed + n)
        .to(type)
        .set_requires_grad(true);
  };
  return {leaf(0), leaf(1), leaf(2)};
}

Rows all_rows() {
  return Rows(batch_of(random_tokens({kAttendB, kAttendT}, 5, 1), {}));
}

// 0: asks; 1, 2: put by the first and the second call. No row of the last sequence asks.
int part_of(int64_t row) {
  return row / kAttendT == kAttendB - 1 ? 1 + int(row % 2) : int(row * 5 / 2 % 3);
}

Tensor is_part(int part) {
  const Tensor mask_R = at::full({kAttendB * kAttendT}, false, at::TensorOptions(at::kBool));
  for (int64_t i = 0; i < kAttendB * kAttendT; ++i) mask_R.data_ptr<bool>()[i] = part_of(i) == part;
  return mask_R;
}

class Asked {
 public:
  // The rows that ask, of all.
  Asked(const Qkv& x, const Visibility& visibility, AttentionCache* cache,
        WalkAttention::Dropout dropout = {})
      : all_(all_rows()), rows_(all_.select(is_part(0))) {
    Visibility own = visibility;
    if (own.hidden_R.defined()) own.hidden_R = own.hidden_R.index_select(0, index(0));
    WalkAttention walk(rows_, own, kAttendHeads, dropout);
    std::unique_ptr<CachedAttention> cached;
    if (cache != nullptr)
      cached = std::make_unique<CachedAttention>(rows_, *cache, own, kAttendHeads);
    AttentionContext& context = cached ? static_cast<AttentionContext&>(*cached) : walk;
    for (const int part : {2, 1}) {
      const Qkv put = x.select(index(part));
      const auto rows = std::make_shared<const Rows>(all_.select(is_part(part)));
      context.put(0, rows, put.k_RC, put.v_RC);
    }
    const Qkv own_x = x.select(index(0));
    out_RC = context.attend(0, own_x.q_RC, own_x.k_RC, own_x.v_RC);
  }
  static Tensor index(int part) { return is_part(part).nonzero().squeeze(1); }

  Tensor out_RC;

 private:
  Rows all_, rows_;
};

Tensor dense(const Qkv& x, const Visibility& visibility, WalkAttention::Dropout dropout = {}) {
  const Rows all = all_rows();
  return WalkAttention(all, visibility, kAttendHeads, dropout)
      .attend(0, x.q_RC, x.k_RC, x.v_RC)
      .index_select(0, Asked::index(0));
}

std::vector<Visibility> visibilities() {
  // Of the rows that ask: keys that are put are seen.
  Tensor hidden_R = is_part(0);
  for (int64_t i = 0; i < kAttendB * kAttendT; i += 2) hidden_R.data_ptr<bool>()[i] = false;
  return {{}, {2, {}}, {{}, hidden_R}, {3, hidden_R, /*mask_self=*/false}};
}

TEST(Attend, KeysPutBesideAreSeenAsIfTheirRowsAsked) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat})
    for (const Visibility& v : visibilities()) {
      const double tolerance = type == at::kDouble ? 1e-12 : 1e-5;
      const Qkv x = any_qkv(type), y = any_qkv(type);
      const RandomField field(1, 2, 3);
      for (const double p : {0.0, 0.3}) {
        const WalkAttention::Dropout dropout = {p, &field, kAttendT};
        const Tensor a = Asked(x, v, nullptr, dropout).out_RC, b = dense(y, v, dropout);
        EXPECT_LE(max_difference(a, b), tolerance);
        const Tensor slope = random_normal(a.sizes(), 9).to(type);
        for (Tensor t : {x.q_RC, x.k_RC, x.v_RC, y.q_RC, y.k_RC, y.v_RC})
          t.mutable_grad() = Tensor();
        backward((a * slope).sum());
        backward((b * slope).sum());
        EXPECT_LE(max_difference(x.q_RC.grad(), y.q_RC.grad()), tolerance);
        EXPECT_LE(max_difference(x.k_RC.grad(), y.k_RC.grad()), tolerance);
        EXPECT_LE(max_difference(x.v_RC.grad(), y.v_RC.grad()), tolerance);
      }
      const at::NoGradGuard no_grad;
      AttentionCache cache(kAttendB, kAttendT);
      EXPECT_LE(max_difference(Asked(x, v, &cache).out_RC, dense(y, v)), tolerance);
    }
}

// The last one of all is the step's own.
TEST(Attend, OfTwoKeysAtOnePositionTheLaterOneIsSeen) {
  const at::NoGradGuard no_grad;
  const Qkv old = any_qkv(at::kDouble, 20), later = any_qkv(at::kDouble, 30),
            own = any_qkv(at::kDouble, 40);
  const Rows all = all_rows();
  const auto everything = std::make_shared<const Rows>(all);
  const auto later_rows = std::make_shared<const Rows>(all.select(is_part(0).logical_not()));
  const auto own_rows = all.select(is_part(0));
  const Tensor later_index = is_part(0).logical_not().nonzero().squeeze(1);
  const Tensor is_own = is_part(0).unsqueeze(1);
  const Qkv expected = {own.q_RC, at::where(is_own, own.k_RC, later.k_RC),
                        at::where(is_own, own.v_RC, later.v_RC)};
  AttentionCache cache(kAttendB, kAttendT);
  WalkAttention walk(own_rows, {}, kAttendHeads, {});
  CachedAttention cached(own_rows, cache, {}, kAttendHeads);
  for (AttentionContext* context :
       {static_cast<AttentionContext*>(&walk), static_cast<AttentionContext*>(&cached)}) {
    context->put(0, everything, old.k_RC, old.v_RC);
    const Qkv second = later.select(later_index), mine = own.select(Asked::index(0));
    context->put(0, later_rows, second.k_RC, second.v_RC);
    EXPECT_LE(
        max_difference(context->attend(0, mine.q_RC, mine.k_RC, mine.v_RC), dense(expected, {})),
        1e-12);
    // Of another slot nothing is seen.
    const Qkv alone = own.select(Asked::index(0));
    const Tensor other = context->attend(1, alone.q_RC, alone.k_RC, alone.v_RC);
    EXPECT_LE(max_difference(other, WalkAttention(own_rows, {}, kAttendHeads, {})
                                        .attend(0, alone.q_RC, alone.k_RC, alone.v_RC)),
              1e-12);
  }
}

TEST(Attend, KeysOfOtherSequencesAreRefused) {
  const Rows all = all_rows();
  WalkAttention walk(all, {}, kAttendHeads, {});
  const auto one =
      std::make_shared<const Rows>(Rows(batch_of(random_tokens({1, kAttendT}, 5, 1), {})));
  const Tensor x_RC = random_normal({kAttendT, kAttendC}, 1);
  EXPECT_THAT(error_of([&] { walk.put(0, one, x_RC, x_RC); }),
              ::testing::HasSubstr("1 sequences for a walk of 3"));
}

// Keys of rows that left come to a cache after those of later rows.
TEST(Attend, KeysMayComeToACacheInAnyOrder) {
  const at::NoGradGuard no_grad;
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const Qkv x = any_qkv(type);
    const Rows all = all_rows();
    AttentionCache cache(kAttendB, kAttendT);
    // First the others' keys, then the first half of the positions, which nobody has asked for.
    const Tensor early_R = all.position_R.lt(kAttendT / 2), late_R = early_R.logical_not();
    const auto rows_of = [&](const Tensor& mask_R) {
      return std::make_shared<const Rows>(all.select(mask_R));
    };
    const auto late = rows_of(late_R), early = rows_of(early_R);
    const Qkv late_x = x.select(late_R.nonzero().squeeze(1)),
              early_x = x.select(early_R.nonzero().squeeze(1));
    CachedAttention first(*late, cache, {}, kAttendHeads);
    first.attend(0, late_x.q_RC, late_x.k_RC, late_x.v_RC);
    first.put(0, early, early_x.k_RC, early_x.v_RC);
    const Tensor again = first.attend(0, late_x.q_RC, late_x.k_RC, late_x.v_RC);
    const Tensor expected = WalkAttention(all, {}, kAttendHeads, {})
                                .attend(0, x.q_RC, x.k_RC, x.v_RC)
                                .index_select(0, late_R.nonzero().squeeze(1));
    EXPECT_LE(max_difference(again, expected), type == at::kDouble ? 1e-12 : 1e-5);
  }
}

}  // namespace
}  // namespace fathom::testing
