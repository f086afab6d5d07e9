// Shards in order, by batches and by rows.
#include <rapidcheck.h>

#include <set>

#include "data/rows_testing.h"
#include "fathom/data/shard_windows.h"

namespace fathom {
namespace {

using testing::caught;
using testing::counting;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::write_shard;

// A folder of shards whose tokens count 0, 1, 2, ... through all of them.
class SequentialTest : public testing::DataTest {
 protected:
  Corpus corpus(const std::vector<uint32_t>& shard_sizes) {
    const std::string folder = temp_ / "data/counted";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    uint32_t first = 0;
    for (size_t i = 0; i < shard_sizes.size(); first += shard_sizes[i++])
      write_shard(folder + "/toy_train_" + std::to_string(i) + ".bin",
                  counting(shard_sizes[i], first));
    return Corpus::open("counted");
  }
};

// First tokens of `batches` consecutive batches.
std::vector<int64_t> first_tokens(const DataSet& source, int batches) {
  std::vector<int64_t> first;
  Cursor cursor = source.start();
  for (int i = 0; i < batches; ++i) {
    auto [batch, after, samples] = source.next(cursor);
    EXPECT_EQ(batch.targets.front(), batch.tokens.front() + 1);
    EXPECT_EQ(batch.targets.back(), batch.tokens.back() + 1);
    EXPECT_EQ(batch.tokens.back(), batch.tokens.front() + batch.B * batch.T - 1);
    first.push_back(batch.tokens.front());
    cursor = after;
  }
  return first;
}

TEST_F(SequentialTest, DropTailsAndWrap) {
  // A batch is 4 tokens and needs 5. 13 holds three; 12 holds two, a third lacks its last target;
  // the third shard starts at 25 and 9 holds two.
  const SequentialShards source(corpus({13, 12, 9}), "train", 2, 2);
  EXPECT_EQ(first_tokens(source, 9), (std::vector<int64_t>{0, 4, 8, 13, 17, 25, 29, 0, 4}));
}

TEST_F(SequentialTest, RanksStrideAndLeaveAShardEachByItsOwnPosition) {
  // Shard 0 has 17 tokens. Rank 0 stands at 8 after one step, and 8 + 8 + 1 <= 17: it stays. Rank 1
  // stands at 12, and 12 + 8 + 1 > 17: it leaves.
  const Corpus toy = corpus({17, 17});
  EXPECT_EQ(first_tokens(SequentialShards(toy, "train", 2, 2, 0, 2), 4),
            (std::vector<int64_t>{0, 8, 17, 25}));
  EXPECT_EQ(first_tokens(SequentialShards(toy, "train", 2, 2, 1, 2), 3),
            (std::vector<int64_t>{4, 21, 4}));
}

// R13 as it is written, kept apart from the code under test.
std::vector<int64_t> reference_walk(const std::vector<uint32_t>& sizes, int64_t n, int64_t rank,
                                    int64_t world, int batches) {
  std::vector<int64_t> first;
  size_t shard = 0;
  int64_t position = n * rank;
  for (int i = 0; i < batches; ++i) {
    int64_t before = 0;
    for (size_t k = 0; k < shard; ++k) before += sizes[k];
    first.push_back(before + position);
    position += n * world;
    if (position + n * world + 1 > static_cast<int64_t>(sizes[shard])) {
      shard = (shard + 1) % sizes.size();
      position = n * rank;
    }
  }
  return first;
}

TEST_F(SequentialTest, FollowTheRule) {
  EXPECT_TRUE(rc::check([&] {
    const auto B = *rc::gen::inRange<int64_t>(1, 4), T = *rc::gen::inRange<int64_t>(1, 5);
    const auto world = *rc::gen::inRange<int64_t>(1, 4);
    const auto rank = *rc::gen::inRange<int64_t>(0, world);
    std::vector<uint32_t> sizes;
    for (int i = 0; i < 3; ++i)
      sizes.push_back(static_cast<uint32_t>(B * T * world + 1) + *rc::gen::inRange(0u, 60u));
    const SequentialShards source(corpus(sizes), "train", B, T, rank, world);
    RC_ASSERT(first_tokens(source, 40) == reference_walk(sizes, B * T, rank, world, 40));
  }));
}

// 2 tokens a batch, 8 of all ranks together; rank r stays while position + 8 + 1 fits. The shards
// begin at 0, 21 and 39.
TEST_F(SequentialTest, FourRanksReadThreeShardsAsWrittenOut) {
  const Corpus toy = corpus({21, 18, 9});
  const std::vector<std::vector<int64_t>> expected = {
      {0, 8, 21, 29, 39, 0}, {2, 10, 23, 41, 2}, {4, 12, 25, 43, 4}, {6, 27, 45, 6}};
  std::set<int64_t> seen;
  for (int64_t rank = 0; rank < 4; ++rank) {
    const std::vector<int64_t>& own = expected[size_t(rank)];
    const SequentialShards source(toy, "train", 1, 2, rank, 4);
    EXPECT_EQ(first_tokens(source, int(own.size())), own) << rank;
    const SequentialShards rows(toy, "train", 1, 2, rank, 4, 0, SequentialShards::Draws::kRows);
    EXPECT_EQ(rows.samples(), int64_t(own.size()) - 1) << "until the first comes again";
    for (size_t i = 0; i + 1 < own.size(); ++i)
      for (int64_t t = 0; t < 2; ++t)
        EXPECT_TRUE(seen.insert(own[i] + t).second) << "two ranks have token " << own[i] + t;
  }
}

// However the rows are taken, they are the batches', and the walk goes round after so many.
TEST_F(SequentialTest, RowByRowTheBatchesAreTheSame) {
  EXPECT_TRUE(rc::check([&] {
    const auto B = *rc::gen::inRange<int64_t>(1, 5), T = *rc::gen::inRange<int64_t>(1, 5);
    const auto world = *rc::gen::inRange<int64_t>(1, 4);
    const auto rank = *rc::gen::inRange<int64_t>(0, world);
    std::vector<uint32_t> sizes;
    for (int i = 0; i < 3; ++i)
      sizes.push_back(static_cast<uint32_t>(B * T * world + 1) + *rc::gen::inRange(0u, 60u));
    const Corpus toy = corpus(sizes);
    const SequentialShards whole(toy, "train", B, T, rank, world, 1);
    const SequentialShards rows(toy, "train", B, T, rank, world, 1, SequentialShards::Draws::kRows);
    Cursor of_whole = whole.start(), of_row = rows.start();
    for (int i = 0; i < 20; ++i) {
      const Drawn batch = whole.next(of_whole);
      TokenBatch joined;
      for (int64_t b = 0; b < B; ++b) {
        const Drawn row = rows.next(of_row);
        RC_ASSERT(row.batch.B == 1 && row.samples == 1);
        append(joined, row.batch);
        of_row = row.after;
      }
      RC_ASSERT(testing::same(joined, batch.batch));
      of_whole = batch.after;
    }
    Cursor around = rows.start();
    std::set<int64_t> begun;
    const int64_t epoch = *rows.samples();
    for (int64_t i = 0; i < epoch; ++i) {
      const Drawn drawn = rows.next(around);
      RC_ASSERT(begun.insert(drawn.batch.tokens[0]).second);
      around = drawn.after;
    }
    RC_ASSERT(times_given(epoch - 1, epoch) == 1 && times_given(epoch, epoch) == 2);
    RC_ASSERT(around["shard"] == rows.start()["shard"]);
    RC_ASSERT(around["position"] == rows.start()["position"]);
  }));
}

TEST_F(SequentialTest, APlaceOfAnotherBatchSizeGoesOn) {
  const Corpus toy = corpus({13, 12});
  const auto rows = [&](int64_t B) {
    return SequentialShards(toy, "train", B, 2, 0, 1, 0, SequentialShards::Draws::kRows);
  };
  EXPECT_EQ(first_tokens(rows(2), 7), (std::vector<int64_t>{0, 2, 4, 6, 8, 10, 13}));
  Cursor cursor = rows(2).start();
  for (int i = 0; i < 2; ++i) cursor = rows(2).next(cursor).after;
  // At 4 is the last row of the first batch of three; a third batch would not be whole.
  std::vector<int64_t> first;
  for (int i = 0; i < 6; ++i) {
    const Drawn drawn = rows(3).next(cursor);
    first.push_back(drawn.batch.tokens[0]);
    cursor = drawn.after;
  }
  EXPECT_THAT(first, ElementsAre(4, 6, 8, 10, 13, 15));
}

TEST(SequentialBatches, AreAnEpochOfAShard) {
  EXPECT_EQ(sequential_batches(100'000'000, 8, 1024), 12207);
  EXPECT_EQ(sequential_batches(100'000'000, 16, 1024), 6103);
  EXPECT_EQ(sequential_batches(8, 2, 4), 0) << "the last target is missing";
  EXPECT_EQ(sequential_batches(9, 2, 4), 1);
  EXPECT_EQ(sequential_batches(16, 2, 4), 1);
  EXPECT_EQ(sequential_batches(17, 2, 4), 2);
  EXPECT_EQ(sequential_batches(21, 1, 2, 2, 4), 2);
  EXPECT_EQ(sequential_batches(21, 1, 2, 3, 4), 1);
}

TEST_F(SequentialTest, TooShortForABatchArePassedOver) {
  EXPECT_EQ(first_tokens(SequentialShards(corpus({3, 9, 4, 5}), "train", 1, 4), 4),
            (std::vector<int64_t>{3, 7, 16, 3}));
  EXPECT_THAT(caught([&] {
                SequentialShards(corpus({4, 4}), "train", 1, 4);
              }).what(),
              HasSubstr("has the 5 tokens"));
}

}  // namespace
}  // namespace fathom
