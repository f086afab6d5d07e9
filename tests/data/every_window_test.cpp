#include <gtest/gtest.h>

#include <numeric>

#include "data/data_testing.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::counting;
using testing::write_shard;

class EveryWindowTest : public testing::DataTest {
 protected:
  // Shards of these sizes; tokens count through all of them.
  Corpus corpus(const std::vector<uint32_t>& shard_sizes) {
    const std::string folder = temp_ / "data/toy";
    std::filesystem::create_directories(folder);
    uint32_t first = 0;
    for (size_t i = 0; i < shard_sizes.size(); first += shard_sizes[i++])
      write_shard(folder + "/toy_val_" + std::to_string(i) + ".bin",
                  counting(shard_sizes[i], first));
    return Corpus::open("toy");
  }
};

TEST_F(EveryWindowTest, EveryTargetOfEveryShardComesOnce) {
  const EveryWindow source(corpus({20, 9, 33}), "val", /*B=*/3, /*T=*/8);
  std::vector<int64_t> targets;
  Cursor cursor = source.start();
  for (int64_t i = 0; i < source.batches(); ++i) {
    const auto [batch, after, samples] = source.next(cursor);
    cursor = after;
    for (size_t k = 0; k < batch.targets.size(); ++k) {
      if (batch.targets[k] == -1) continue;
      EXPECT_EQ(batch.targets[k], batch.tokens[k] + 1);
      targets.push_back(batch.targets[k]);
    }
  }
  std::vector<int64_t> expected;  // all but each shard's first token
  for (int64_t t = 0; t < 62; ++t)
    if (t != 0 && t != 20 && t != 29) expected.push_back(t);
  EXPECT_EQ(targets, expected);
}

TEST_F(EveryWindowTest, WhatFillsUpAShortWindowIsNotValid) {
  const EveryWindow source(corpus({12}), "val", /*B=*/2, /*T=*/8);
  const TokenBatch batch = source.next(source.start()).batch;
  const WholeNumbers& valid = std::get<WholeNumbers>(batch.find("valid")->values);
  ASSERT_EQ(valid.size(), 16u);
  for (size_t k = 0; k < 16; ++k) EXPECT_EQ(valid[k] != 0, batch.targets[k] != -1) << k;
  EXPECT_EQ(std::accumulate(valid.begin(), valid.end(), 0), 11);
}

TEST_F(EveryWindowTest, WholeWindowsNeedNoMarks) {
  const EveryWindow source(corpus({17}), "val", /*B=*/2, /*T=*/8);
  EXPECT_TRUE(source.next(source.start()).batch.columns.empty());
}

TEST_F(EveryWindowTest, SequencesOneByOneAreTheBatch) {
  const Corpus shards = corpus({20, 9, 33});
  const EveryWindow together(shards, "val", /*B=*/8, /*T=*/8), single(shards, "val", 1, 8);
  TokenBatch all;
  Cursor cursor = single.start();
  for (int64_t i = 0; i < single.batches(); ++i) {
    const auto [one, after, samples] = single.next(cursor);
    append(all, one);
    cursor = after;
  }
  const TokenBatch expected = together.next(together.start()).batch;
  EXPECT_EQ(all.B, expected.B);
  EXPECT_EQ(all.tokens, expected.tokens);
  EXPECT_EQ(all.targets, expected.targets);
  EXPECT_EQ(all.columns, expected.columns);
  EXPECT_FALSE(all.columns.empty()) << "the case is pointless if every window is full";
}

}  // namespace
}  // namespace fathom
