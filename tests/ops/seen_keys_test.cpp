// What kernels are told of a mask is what it describes, for any rows, in as few numbers as it can.
#include "fathom/ops/seen_keys.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "fathom/ops/plain.h"
#include "model/testing.h"
#include "ops/described.h"

namespace fathom::testing {
namespace {

int64_t any(int64_t from, int64_t to) {
  return *rc::gen::inRange<int64_t>(from, to + 1);
}

// (B, Q, K) as the kernels understand it; the ends of each range are seen.
Tensor told(const AttentionMask& mask, const AttentionProblem& p) {
  const int64_t B = mask.queries.batch(), Q = mask.queries.longest(), K = mask.keys.longest();
  const Tensor blocked = at::full({B, Q, K}, true, at::TensorOptions(at::kBool));
  for (int64_t i = 0; i < B * Q; ++i) {
    const KeyRange r = p.ranges[i];
    bool* to = blocked.data_ptr<bool>() + i * K;
    for (int64_t k = r.first; k < r.last; ++k) {
      const bool is_own = p.own != nullptr && p.own[i] == k;
      const bool hidden = p.hidden != nullptr && p.hidden[i / Q * K + k] != 0;
      to[k] = (hidden && !is_own) || (p.blocked != nullptr && p.blocked[i * K + k] != 0);
    }
    EXPECT_TRUE(r.first <= r.last);
    EXPECT_TRUE(r.first == r.last || (!to[r.first] && !to[r.last - 1]));
  }
  return blocked;
}

// Sequences at positions with gaps; now and then not in order.
void place(RowNumbers& rows, bool in_order) {
  for (size_t b = 0; b < rows.begin.size(); ++b) {
    int64_t position = any(0, 3);
    for (int64_t i = rows.begin[b]; i < rows.end[b]; ++i) {
      rows.positions[size_t(i)] = position;
      position += any(1, 3);
    }
    if (in_order || rows.end[b] - rows.begin[b] < 2) continue;
    std::swap(rows.positions[size_t(rows.begin[b])], rows.positions[size_t(rows.end[b]) - 1]);
  }
}

Described any_mask(bool in_order, bool segments_in_runs) {
  std::vector<int64_t> queries, keys;
  for (int64_t b = any(0, 3); b > 0; --b) queries.push_back(any(0, 6)), keys.push_back(any(0, 9));
  Described d(queries, keys);
  place(*d.queries, /*in_order=*/any(0, 2) > 0);
  place(*d.keys, in_order);
  d.mask.causal = any(0, 2) > 0;
  d.mask.mask_self = any(0, 1) > 0;
  if (any(0, 1) > 0) d.window(any(0, 5));
  const int64_t share = any(1, 3);
  const auto some = [=](int64_t, int64_t) { return any(0, share) == 0; };
  if (any(0, 1) > 0) d.hide(some);
  if (any(0, 2) == 0) d.invalidate(some);
  const auto of_runs = [](int64_t b, int64_t i) { return (b + i) / 4 * 7 % 5; };
  const auto of_any = [](int64_t, int64_t) { return any(0, 2); };
  if (any(0, 1) > 0 && segments_in_runs) d.segments(of_any, of_runs);
  if (!segments_in_runs) d.segments(of_any, of_any);
  return d;
}

RC_GTEST_PROP(SeenKeys, AreThoseOfTheDescription, ()) {
  const bool in_order = any(0, 3) > 0, runs = any(0, 3) > 0;
  SeenKeys seen;
  // Used again, as a decoder does: nothing of the masks before is left.
  for (int i = 0; i < 3; ++i) {
    const Described d = any_mask(in_order, runs);
    seen.find(d);
    AttentionProblem p;
    seen.tell(p);
    const Tensor expected = blocked_of(d);
    RC_ASSERT(same_bits(told(d, p), expected));
    const Tensor plain = plain::blocked_pairs(d, at::kCPU);
    RC_ASSERT(same_bits(plain.expand(expected.sizes()), expected));
    RC_ASSERT(!in_order || !runs || p.blocked == nullptr);
  }
}

AttentionProblem told_of(SeenKeys& seen, const AttentionMask& mask) {
  AttentionProblem p;
  seen.find(mask);
  seen.tell(p);
  return p;
}

TEST(SeenKeys, UsualTextIsRangesAlone) {
  SeenKeys seen;
  for (const Described& d :
       {Described(2, 9, 9), Described({3, 0, 9}, {9, 2, 9}).window(4),
        Described(2, 9, 9).segments([](int64_t, int64_t i) { return i / 3; },
                                    [](int64_t, int64_t i) { return i / 3; })}) {
    const AttentionProblem p = told_of(seen, d);
    EXPECT_TRUE(p.hidden == nullptr && p.own == nullptr && p.blocked == nullptr);
  }
}

// Whether it is all of a sequence or its ends, what is hidden there needs no line.
TEST(SeenKeys, WhatIsHiddenAtTheEndsIsRangesAlone) {
  SeenKeys seen;
  const AttentionProblem p =
      told_of(seen, Described(2, 9, 9).hide([](int64_t b, int64_t k) { return b == 1 || k < 2; }));
  EXPECT_TRUE(p.hidden == nullptr && p.blocked == nullptr);
  EXPECT_EQ(p.ranges[8].first, 2);
  EXPECT_EQ(p.ranges[1].last, 0);
  EXPECT_EQ(p.ranges[17].last, 0);
}

TEST(SeenKeys, HiddenKeysWithinARangeAreALine) {
  SeenKeys seen;
  const auto some = [](int64_t, int64_t k) { return k % 3 == 1; };
  EXPECT_EQ(told_of(seen, Described(2, 9, 9).hide(some).self_seen()).blocked, nullptr);
  const AttentionProblem p = told_of(seen, Described(2, 9, 9).hide(some));
  EXPECT_NE(p.hidden, nullptr);
  EXPECT_EQ(p.own, nullptr) << "of the mask before";
}

}  // namespace
}  // namespace fathom::testing
