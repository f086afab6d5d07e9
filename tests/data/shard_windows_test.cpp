#include "fathom/data/shard_windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "data/data_testing.h"

namespace fathom {
namespace {

using testing::caught;
using testing::counting;
using ::testing::ElementsAre;
using testing::HasSubstr;
using testing::write_shard;

// A folder of shards whose tokens count 0, 1, 2, ... through all shards of a split.
class SourceTest : public testing::DataTest {
 protected:
  Corpus corpus(const std::vector<uint32_t>& shard_sizes) {
    const std::string folder = temp_ / "data/toy";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    uint32_t first = 0;
    for (size_t i = 0; i < shard_sizes.size(); first += shard_sizes[i++])
      write_shard(folder + "/toy_train_" + std::to_string(i) + ".bin",
                  counting(shard_sizes[i], first));
    return Corpus::open("toy");
  }
};

bool equal(const TokenBatch& a, const TokenBatch& b) {
  return a.B == b.B && a.T == b.T && a.tokens == b.tokens && a.targets == b.targets &&
         a.columns == b.columns;
}

TEST_F(SourceTest, CursorTravelsThroughJson) {
  const Cursor cursor = {{"batch", 7}, {"shard", 2}, {"position", 1234567890123}};
  const nlohmann::json json = cursor;
  EXPECT_EQ(json.get<Cursor>(), cursor);
  EXPECT_EQ(nlohmann::json::parse(R"({"batch": 7, "shard": 0})").get<Cursor>(),
            (Cursor{{"batch", 7}}))
      << "a count that is 0 need not be there";
  for (const char* bad : {"[]", "7", R"({"batch": -1, "shard": 0, "position": 0})",
                          R"({"batch": 1.5, "shard": 0, "position": 0})",
                          R"({"batch": 18446744073709551615, "shard": 0, "position": 0})"})
    EXPECT_THAT(caught([&] { nlohmann::json::parse(bad).get<Cursor>(); }).what(),
                HasSubstr("data position"));
}

TEST(CursorOf, PartsHaveNumbersOfTheirOwn) {
  const Cursor inner = {{"row", 3}, {"word", 5}};
  Cursor outer = {{"draw", 9}};
  outer.set_part("a", inner);
  outer.set_part("ab", {{"row", 1}});
  EXPECT_EQ(outer.part("a"), inner);
  EXPECT_EQ(outer["draw"], 9);
  outer.set_part("a", {{"row", 4}});
  EXPECT_EQ(outer.part("a"), (Cursor{{"row", 4}}));
  EXPECT_EQ(outer.part("ab"), (Cursor{{"row", 1}}));
  outer.set_part("a", {});
  outer.set_part("ab", {});
  EXPECT_EQ(outer, (Cursor{{"draw", 9}}));
}

Cursor at(int64_t batch, int64_t shard, int64_t position) {
  return {{"batch", batch}, {"shard", shard}, {"position", position}};
}

TEST_F(SourceTest, WindowsAreConsecutiveTokensAndTheirSuccessors) {
  const RandomWindows source(corpus({1000}), "train", 4, 8, 1337);
  Cursor cursor = source.start();
  for (int i = 0; i < 50; ++i) {
    const auto [batch, after, samples] = source.next(cursor);
    EXPECT_EQ(after["batch"], cursor["batch"] + 1);
    for (size_t k = 0; k < 32; ++k) {
      EXPECT_EQ(batch.targets[k], batch.tokens[k] + 1);
      if (k % 8 != 0) {
        EXPECT_EQ(batch.tokens[k], batch.tokens[k - 1] + 1);
      }
    }
    cursor = after;
  }
}

TEST_F(SourceTest, OffsetsAreTheDocumentedDraws) {
  const RandomWindows source(corpus({1000}), "train", 3, 8, 42);
  const RandomStream stream(42, "data/train");
  const TokenBatch batch = source.next({{"batch", 5}}).batch;
  for (uint64_t b = 0; b < 3; ++b)
    EXPECT_EQ(batch.tokens[b * 8], static_cast<int64_t>(stream.below(5 * 3 + b, 1000 - 8)));
}

// The token after the last target, and so on, from shards of counted tokens.
TEST_F(SourceTest, WhatComesAheadIsAColumnOfItsOwn) {
  const Corpus two = corpus({40, 30});
  const RandomWindows random(two, "train", 4, 8, 3, 0, 1, /*ahead=*/3),
      plain(two, "train", 4, 8, 3);
  const SequentialShards in_order(two, "train", 2, 8, 0, 1, 3);
  const EveryWindow every(two, "train", 4, 8, 3);
  int ends = 0;
  for (const DataSet* data : std::initializer_list<const DataSet*>{&random, &in_order, &every}) {
    Cursor cursor = data->start();
    for (int i = 0; i < (data == &every ? 3 : 30); ++i) {
      const Drawn drawn = data->next(cursor);
      cursor = drawn.after;
      const TokenBatch& batch = drawn.batch;
      const WholeNumbers& ahead = std::get<WholeNumbers>(batch.find("ahead")->values);
      ASSERT_EQ(ahead.size(), size_t(batch.B * 3));
      for (int64_t b = 0; b < batch.B; ++b) {
        const int64_t first = batch.tokens[size_t(b * 8)];
        const int64_t end = first < 40 ? 40 : 70;  // of the shard
        for (int64_t k = 0; k < 3; ++k) {
          const int64_t expected = first + 8 + 1 + k;
          EXPECT_EQ(ahead[size_t(b * 3 + k)], expected < end ? expected : -1);
          ends += expected >= end;
        }
      }
    }
  }
  EXPECT_GT(ends, 10);
  EXPECT_EQ(random.next({}).batch.tokens, plain.next({}).batch.tokens);
  EXPECT_THAT(caught([&] { RandomWindows(two, "train", 4, 8, 3, 0, 1, 9); }).what(),
              HasSubstr("cannot look 9 ahead"));
}

TEST_F(SourceTest, ABatchDependsOnNothingButSeedAndCursor) {
  const Corpus toy = corpus({500, 300});
  const RandomWindows one(toy, "train", 4, 8, 1), two(toy, "train", 4, 8, 2);
  const TokenBatch expected = one.next({{"batch", 9}}).batch;
  one.next({{"batch", 3}});
  EXPECT_TRUE(equal(one.next({{"batch", 9}}).batch, expected));
  EXPECT_TRUE(equal(RandomWindows(toy, "train", 4, 8, 1).next({{"batch", 9}}).batch, expected));
  EXPECT_FALSE(equal(two.next({{"batch", 9}}).batch, expected));
  EXPECT_FALSE(equal(one.next({{"batch", 10}}).batch, expected));

  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) one.next({{"batch", i}});
      EXPECT_TRUE(equal(one.next({{"batch", 9}}).batch, expected));
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(SourceTest, RanksAndMicroBatchesSeeTheSameRows) {
  const Corpus toy = corpus({1000});
  const TokenBatch whole = RandomWindows(toy, "train", 8, 4, 3).next({{"batch", 2}}).batch;
  std::vector<int64_t> by_rank, by_row;
  for (int64_t rank = 0; rank < 2; ++rank)
    for (const int64_t t :
         RandomWindows(toy, "train", 4, 4, 3, rank, 2).next({{"batch", 2}}).batch.tokens)
      by_rank.push_back(t);
  for (int64_t i = 16; i < 24; ++i)
    for (const int64_t t : RandomWindows(toy, "train", 1, 4, 3).next({{"batch", i}}).batch.tokens)
      by_row.push_back(t);
  EXPECT_EQ(by_rank, whole.tokens);
  EXPECT_EQ(by_row, whole.tokens);
}

TEST_F(SourceTest, EveryStartIsEquallyLikelyAndNoneCrossesAShard) {
  constexpr int64_t kT = 4;
  // Possible starts: 6 of the first shard, none of the second, 10 of the third.
  const Corpus toy = corpus({10, 4, 14});
  const RandomWindows source(toy, "train", 16, kT, 7);
  std::vector<double> counts(28);
  constexpr int kBatches = 2000;
  for (int i = 0; i < kBatches; ++i) {
    const TokenBatch batch = source.next({{"batch", i}}).batch;
    for (size_t b = 0; b < 16; ++b) ++counts[static_cast<size_t>(batch.tokens[b * kT])];
  }
  double chi_squared = 0;
  for (int start = 0; start < 28; ++start) {
    const bool possible = start < 6 || (start >= 14 && start < 24);
    if (!possible) {
      EXPECT_EQ(counts[size_t(start)], 0) << start;
      continue;
    }
    chi_squared += std::pow(counts[size_t(start)] - kBatches, 2) / kBatches;
  }
  EXPECT_LT(chi_squared, 37.7);  // 15 degrees of freedom, p = 0.001
}

TEST_F(SourceTest, WindowsThatLookFurtherBeginEarlier) {
  // Starts of 4 tokens, the next one and 3 behind it: 3 of the first shard, 1 of the last.
  const Corpus toy = corpus({10, 7, 8});
  const RandomWindows source(toy, "train", 16, 4, 7, 0, 1, /*ahead=*/2, /*behind=*/3);
  std::set<int64_t> starts;
  for (int i = 0; i < 40; ++i) {
    const TokenBatch batch = source.next({{"batch", i}}).batch;
    for (size_t b = 0; b < 16; ++b) starts.insert(batch.tokens[b * 4]);
    for (const int64_t token : std::get<WholeNumbers>(batch.find("ahead")->values))
      EXPECT_GE(token, 0);
  }
  EXPECT_THAT(starts, ElementsAre(0, 1, 2, 17));
  EXPECT_THAT(caught([&] { RandomWindows(toy, "train", 1, 4, 7, 0, 1, 2, 6); }).what(),
              HasSubstr("more than 10 tokens, one block and what it looks ahead"));
}

TEST_F(SourceTest, RandomWindowsNeedsMoreThanABlock) {
  EXPECT_NO_THROW(RandomWindows(corpus({9}), "train", 1, 8, 0));
  EXPECT_EQ(RandomWindows(corpus({9}), "train", 1, 8, 0).next({}).batch.targets.back(), 8);
  EXPECT_THAT(caught([&] { RandomWindows(corpus({8}), "train", 1, 8, 0); }).what(),
              HasSubstr("more than 8 tokens"));
  EXPECT_THAT(caught([&] { RandomWindows(corpus({9}), "val", 1, 8, 0); }).what(),
              HasSubstr("no split \"val\", only train"));
  EXPECT_THAT(caught([&] {
                RandomWindows(corpus({9}), "train", 1, 8, 0).next({{"batch", -1}});
              }).what(),
              HasSubstr("does not exist"));
  EXPECT_EQ(caught([&] { RandomWindows(corpus({9}), "train", 0, 8, 0); }).kind(),
            ErrorKind::kUsage);
  EXPECT_EQ(caught([&] { RandomWindows(corpus({9}), "train", 1, 8, 0, 2, 2); }).kind(),
            ErrorKind::kUsage);
}

// First tokens of `batches` consecutive batches.
std::vector<int64_t> walk(const DataSet& source, int batches) {
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

TEST_F(SourceTest, SequentialShardsDropTailsAndWrap) {
  // A batch is 4 tokens and needs 5. 13 holds three; 12 holds two, a third lacks its last target;
  // the third shard starts at 25 and 9 holds two.
  const SequentialShards source(corpus({13, 12, 9}), "train", 2, 2);
  EXPECT_EQ(walk(source, 9), (std::vector<int64_t>{0, 4, 8, 13, 17, 25, 29, 0, 4}));
}

TEST_F(SourceTest, SequentialRanksStrideAndLeaveAShardEachByItsOwnPosition) {
  // Shard 0 has 17 tokens. Rank 0 stands at 8 after one step, and 8 + 8 + 1 <= 17: it stays. Rank 1
  // stands at 12, and 12 + 8 + 1 > 17: it leaves.
  const Corpus toy = corpus({17, 17});
  EXPECT_EQ(walk(SequentialShards(toy, "train", 2, 2, 0, 2), 4),
            (std::vector<int64_t>{0, 8, 17, 25}));
  EXPECT_EQ(walk(SequentialShards(toy, "train", 2, 2, 1, 2), 3), (std::vector<int64_t>{4, 21, 4}));
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

TEST_F(SourceTest, SequentialShardsFollowTheRule) {
  EXPECT_TRUE(rc::check([&] {
    const auto B = *rc::gen::inRange<int64_t>(1, 4), T = *rc::gen::inRange<int64_t>(1, 5);
    const auto world = *rc::gen::inRange<int64_t>(1, 4);
    const auto rank = *rc::gen::inRange<int64_t>(0, world);
    std::vector<uint32_t> sizes;
    for (int i = 0; i < 3; ++i)
      sizes.push_back(static_cast<uint32_t>(B * T * world + 1) + *rc::gen::inRange(0u, 60u));
    const SequentialShards source(corpus(sizes), "train", B, T, rank, world);
    RC_ASSERT(walk(source, 40) == reference_walk(sizes, B * T, rank, world, 40));
  }));
}

// 2 tokens a batch, 8 of all ranks together; rank r stays while position + 8 + 1 fits. The shards
// begin at 0, 21 and 39.
TEST_F(SourceTest, FourRanksReadThreeShardsAsWrittenOut) {
  const Corpus toy = corpus({21, 18, 9});
  const std::vector<std::vector<int64_t>> expected = {
      {0, 8, 21, 29, 39, 0}, {2, 10, 23, 41, 2}, {4, 12, 25, 43, 4}, {6, 27, 45, 6}};
  std::set<int64_t> seen;
  for (int64_t rank = 0; rank < 4; ++rank) {
    const std::vector<int64_t>& own = expected[size_t(rank)];
    const SequentialShards source(toy, "train", 1, 2, rank, 4);
    EXPECT_EQ(walk(source, int(own.size())), own) << rank;
    const SequentialShards rows(toy, "train", 1, 2, rank, 4, 0, SequentialShards::Draws::kRows);
    EXPECT_EQ(rows.samples(), int64_t(own.size()) - 1) << "until the first comes again";
    for (size_t i = 0; i + 1 < own.size(); ++i)
      for (int64_t t = 0; t < 2; ++t)
        EXPECT_TRUE(seen.insert(own[i] + t).second) << "two ranks have token " << own[i] + t;
  }
}

// However the rows are taken, they are the batches', and the walk goes round after so many.
TEST_F(SourceTest, RowByRowTheBatchesAreTheSame) {
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
      RC_ASSERT(equal(joined, batch.batch));
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

TEST_F(SourceTest, APlaceOfAnotherBatchSizeGoesOn) {
  const Corpus toy = corpus({13, 12});
  const auto rows = [&](int64_t B) {
    return SequentialShards(toy, "train", B, 2, 0, 1, 0, SequentialShards::Draws::kRows);
  };
  EXPECT_EQ(walk(rows(2), 7), (std::vector<int64_t>{0, 2, 4, 6, 8, 10, 13}));
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

TEST_F(SourceTest, ShardsTooShortForABatchArePassedOver) {
  EXPECT_EQ(walk(SequentialShards(corpus({3, 9, 4, 5}), "train", 1, 4), 4),
            (std::vector<int64_t>{3, 7, 16, 3}));
  EXPECT_THAT(caught([&] {
                SequentialShards(corpus({4, 4}), "train", 1, 4);
              }).what(),
              HasSubstr("has the 5 tokens"));
}

TEST_F(SourceTest, SequentialShardsRefuseACursorOfAnotherCorpus) {
  const SequentialShards source(corpus({13, 9}), "train", 2, 2);
  for (const Cursor& cursor :
       {at(0, 2, 0), at(0, -1, 0), at(0, 0, 9), at(0, 0, -1), at(-1, 0, 0), at(0, 0, INT64_MAX)})
    EXPECT_THAT(caught([&] { source.next(cursor); }).what(), HasSubstr("does not exist"));
}

TEST_F(SourceTest, NoBatchComesAfterTheLastNumber) {
  const Corpus toy = corpus({13, 9});
  const RandomWindows random(toy, "train", 2, 2, 1);
  const SequentialShards sequential(toy, "train", 2, 2);
  const EveryWindow every(toy, "train", 2, 2);
  const Cursor last = {{"batch", INT64_MAX}};
  for (const DataSet* source : std::initializer_list<const DataSet*>{&random, &sequential, &every})
    EXPECT_THAT(caught([&] { source->next(last); }).what(), HasSubstr("does not exist"));
  EXPECT_EQ(random.next({{"batch", INT64_MAX - 1}}).after["batch"], INT64_MAX);
}

TEST_F(SourceTest, ATokenOutsideTheVocabularyIsNamed) {
  const std::string folder = temp_ / "data/odd";
  std::filesystem::create_directories(folder);
  write_shard(folder + "/train.bin", {0, 1, 2, 0, 1, 3});
  const auto entry = [&] {
    return nlohmann::json{{"file", "train.bin"},
                          {"tokens", 6},
                          {"bytes", 12},
                          {"xxh3", xxh3_hex(xxh3_file(folder + "/train.bin"))}};
  };
  const nlohmann::json meta = {{"format_version", 1},
                               {"tokenizer", make_char_tokenizer("abc")->to_json()},
                               {"vocab_size", 3},
                               {"splits", {{"train", {entry()}}}}};
  testing::spill(folder + "/meta.json", meta.dump());
  EXPECT_THAT(caught([] { Corpus::open("odd"); }).what(),
              HasSubstr("train.bin has token 3 at offset 5, outside the vocabulary of 3"));

  // And when it comes there later.
  write_shard(folder + "/train.bin", {0, 1, 2, 0, 1, 2});
  nlohmann::json good = meta;
  good["splits"]["train"][0] = entry();
  testing::spill(folder + "/meta.json", good.dump());
  const SequentialShards source(Corpus::open("odd"), "train", 1, 5);
  EXPECT_NO_THROW(source.next(source.start()));
  std::fstream(folder + "/train.bin", std::ios::in | std::ios::out | std::ios::binary).seekp(10)
      << '\3';
  EXPECT_THAT(caught([&] { source.next(source.start()); }).what(),
              HasSubstr("train.bin has token 3 at offset 5, outside the vocabulary of 3"));
}

}  // namespace
}  // namespace fathom
