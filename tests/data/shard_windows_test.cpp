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
using ::testing::HasSubstr;
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
