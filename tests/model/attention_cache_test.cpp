// A cache of keys against a table of them by position.
#include "fathom/model/walk/attention_cache.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "errors.h"
#include "model/testing.h"

namespace fathom::testing {
namespace {

constexpr int64_t kAttentionCacheSequences = 3, kSlots = 2, kCapacity = 9, kAttentionCacheWidth = 2;

int64_t any_of_cache(int64_t from, int64_t to) {
  return *rc::gen::inRange<int64_t>(from, to + 1);
}

// Rows of sequences of any lengths, at any positions below `end`.
Rows any_rows(int64_t end) {
  constexpr int64_t kMost = 5;
  Batch batch;
  batch.tokens_BT = at::zeros({kAttentionCacheSequences, kMost}, at::TensorOptions(at::kLong));
  batch.position_BT = batch.tokens_BT.clone();
  batch.segment_BT = batch.tokens_BT.clone();
  batch.valid_BT = at::zeros({kAttentionCacheSequences, kMost}, at::TensorOptions(at::kBool));
  const Tensor keep_R = at::zeros({kAttentionCacheSequences * kMost}, at::TensorOptions(at::kBool));
  const bool plain = any_of_cache(0, 1) == 0;
  for (int64_t b = 0; b < kAttentionCacheSequences; ++b) {
    int64_t position = any_of_cache(0, end - 1);
    for (int64_t i = b * kMost; i < (b + 1) * kMost; ++i) {
      batch.position_BT.data_ptr<int64_t>()[i] = position;
      keep_R.data_ptr<bool>()[i] = position < end && any_of_cache(0, 2) > 0;
      position += any_of_cache(1, 2);
      batch.segment_BT.data_ptr<int64_t>()[i] = plain ? 0 : any_of_cache(0, 1);
      batch.valid_BT.data_ptr<bool>()[i] = plain || any_of_cache(0, 3) > 0;
    }
  }
  if (plain) batch.segment_BT = batch.valid_BT = Tensor();
  return Rows(batch).select(keep_R);
}

struct KnownKey {
  double number;  // in every channel of the key; the value has its negative
  int64_t segment;
  bool valid, hidden;
};
using Known = std::map<int64_t, KnownKey>;  // by position

class CacheModel {
 public:
  explicit CacheModel(at::ScalarType type) : type_(type) {}

  void put() {
    const int slot = int(any_of_cache(0, kSlots - 1));
    const Rows rows = any_rows(kCapacity);
    const int64_t R = rows.count();
    const Tensor k_RC = at::zeros({R, 2 * kAttentionCacheWidth}, at::TensorOptions(type_));
    Tensor hidden_R = at::zeros({R}, at::TensorOptions(at::kBool));
    for (int64_t b = 0; b < kAttentionCacheSequences; ++b)
      for (int64_t i = rows.offsets()[size_t(b)]; i < rows.offsets()[size_t(b) + 1]; ++i) {
        k_RC[i].narrow(0, 0, kAttentionCacheWidth).fill_(double(++written_));
        k_RC[i].narrow(0, kAttentionCacheWidth, kAttentionCacheWidth).fill_(-double(written_));
        const bool hidden = any_of_cache(0, 3) == 0;
        hidden_R.data_ptr<bool>()[i] = hidden;
        known_[slot][b][rows.positions()[size_t(i)]] = {
            double(written_), rows.segment_R.defined() ? rows.segment_R[i].item<int64_t>() : 0,
            !rows.valid_R.defined() || rows.valid_R[i].item<bool>(), hidden};
      }
    cache.put(slot, rows, {k_RC, 0, kAttentionCacheWidth},
              {k_RC, kAttentionCacheWidth, kAttentionCacheWidth}, hidden_R);
  }
  void truncate() {
    const int64_t b = any_of_cache(0, kAttentionCacheSequences - 1),
                  position = any_of_cache(0, kCapacity);
    cache.truncate(b, position);
    for (auto& slot : known_) slot[b].erase(slot[b].lower_bound(position), slot[b].end());
  }
  void forget() {
    const int64_t b = any_of_cache(0, kAttentionCacheSequences - 1);
    cache.forget(b);
    for (auto& slot : known_) slot[b].clear();
  }
  void compare() const {
    for (int slot = 0; slot < cache.slots(); ++slot) {
      const Rows rows = any_rows(kCapacity);
      const Visibility v = {3, {}, false};
      if (std::all_of(known_[slot], known_[slot] + kAttentionCacheSequences,
                      [](const Known& k) { return k.empty(); }))
        continue;  // nobody may have put anything there
      const KeptKeys kept = cache.contents(slot, rows, v);
      EXPECT_EQ(kept.mask.context, 3);
      EXPECT_FALSE(kept.mask.mask_self);
      EXPECT_EQ(kept.mask.queries.longest(), rows.longest());
      for (int64_t b = 0; b < kAttentionCacheSequences; ++b) {
        RC_ASSERT(cache.keys(slot, b) == int64_t(known_[slot][b].size()));
        RC_ASSERT(kept.mask.keys.count(b) == cache.keys(slot, b));
        int64_t i = 0;
        for (const auto& [position, key] : known_[slot][b]) expect_key(kept, b, i++, position, key);
      }
    }
  }

  AttentionCache cache{kAttentionCacheSequences, kCapacity};

 private:
  static void expect_key(const KeptKeys& kept, int64_t b, int64_t i, int64_t position,
                         const KnownKey& key) {
    const AttentionMask& m = kept.mask;
    const int64_t row = m.keys.begin[size_t(b)] + i;
    RC_ASSERT(m.keys.positions[size_t(row)] == position);
    RC_ASSERT((m.keys.segments.defined() ? m.keys.segments[row].item<int64_t>() : 0) ==
              key.segment);
    RC_ASSERT((!m.valid.defined() || m.valid[row].item<bool>()) == key.valid);
    RC_ASSERT((m.hidden.defined() && m.hidden[row].item<bool>()) == key.hidden);
    for (int64_t c = 0; c < kAttentionCacheWidth; ++c) {
      RC_ASSERT(kept.k_BCK[b][c][i].item<double>() == key.number);
      RC_ASSERT(kept.v_BKC[b][i][c].item<double>() == -key.number);
    }
  }

  at::ScalarType type_;
  int64_t written_ = 0;
  Known known_[kSlots][kAttentionCacheSequences];
};

RC_GTEST_PROP(AttentionCaches, HoldWhatWasPutLastAtEachPosition, ()) {
  CacheModel model(any_of_cache(0, 1) == 0 ? at::kFloat : at::kDouble);
  for (int64_t i = any_of_cache(1, 12); i > 0; --i) {
    const int64_t kind = any_of_cache(0, 6);
    if (kind == 0)
      model.forget();
    else if (kind < 3)
      model.truncate();
    else
      model.put();
    model.compare();
  }
}

Rows text(int64_t from, int64_t count) {
  return Rows({std::vector<int64_t>(size_t(count), 1)}, {from}, at::kCPU);
}

TEST(AttentionCaches, WhatDoesNotFitIsRefusedAndWhatReplacesFits) {
  AttentionCache cache(1, 3);
  const Tensor x_RC = at::zeros({3, 1});
  const auto put = [&](const Rows& rows) {
    cache.put(0, rows, {x_RC, 0, 1}, {x_RC, 0, 1}, Tensor());
  };
  put(text(4, 3));
  put(text(4, 3));
  put(text(5, 1));
  EXPECT_EQ(cache.keys(0, 0), 3);
  for (const int64_t position : {0, 7})
    EXPECT_THAT(error_of([&] { put(text(position, 1)); }),
                ::testing::HasSubstr("4 tokens do not fit a cache of 3"));
  cache.truncate(0, 6);
  put(text(3, 1));
  EXPECT_EQ(cache.keys(0, 0), 3);
}

TEST(AttentionCaches, RowsOutOfOrderAreRefused) {
  AttentionCache cache(1, 8);
  Batch batch;
  batch.tokens_BT = at::zeros({1, 3}, at::TensorOptions(at::kLong));
  batch.position_BT = tensor_of({0, 2, 2}, {1, 3}).to(at::kLong);
  const Tensor x_RC = at::zeros({3, 1});
  EXPECT_THAT(error_of([&] {
                cache.put(0, Rows(batch), {x_RC, 0, 1}, {x_RC, 0, 1}, Tensor());
              }),
              ::testing::HasSubstr("in the order of their positions"));
}

}  // namespace
}  // namespace fathom::testing
