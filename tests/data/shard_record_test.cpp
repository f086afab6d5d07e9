// What a corpus's folder remembers of its large shards.
#include "fathom/data/shard_record.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "data/data_testing.h"
#include "fathom/data/prepare.h"

namespace fathom::testing {
namespace {

namespace fs = std::filesystem;

class ShardRecordTest : public DataTest {
 protected:
  static constexpr ShardRecord::Rules kAtOnce = {0, 0};  // every shard, however young

  void SetUp() override { write_shard(shard(), {3, 1, 4, 1, 5, 9, 2, 6}); }
  std::string shard() { return temp_ / "train.bin"; }
  std::string record() { return temp_ / ".verified"; }
  ShardFacts open(ShardRecord::Rules rules = kAtOnce) {
    ShardRecord shards(temp_.path(), rules);
    const ShardFacts facts = shards.open("train.bin").facts;
    shards.keep();
    return facts;
  }
  // Says of what is remembered that it is something else, so that a look into the file shows.
  void pretend() {
    nlohmann::json json = nlohmann::json::parse(slurp(record()));
    json["shards"][0]["largest"] = 77;
    spill(record(), json.dump());
  }
};

TEST_F(ShardRecordTest, WhatWasReadOnceIsNotReadAgain) {
  const ShardFacts first = open();
  EXPECT_EQ(first.largest, 9);
  EXPECT_EQ(first.xxh3, xxh3_file(shard()));
  ASSERT_TRUE(fs::exists(record()));
  pretend();
  EXPECT_EQ(open().largest, 77);
  EXPECT_EQ(open().xxh3, first.xxh3);
}

TEST_F(ShardRecordTest, AChangeOfAnyKindIsSeen) {
  open();
  pretend();
  const auto before = fs::last_write_time(shard());
  ::usleep(20'000);  // the clock's tick
  {
    std::fstream file(shard(), std::ios::in | std::ios::out | std::ios::binary);
    file << "x";
  }
  fs::last_write_time(shard(), before);  // as if nothing had been
  EXPECT_NE(open().largest, 77);
  pretend();
  write_shard(temp_ / "other", {8, 1, 4, 1, 5, 7, 2, 6});
  fs::last_write_time(temp_ / "other", fs::last_write_time(shard()));
  fs::rename(temp_ / "other", shard());
  EXPECT_EQ(open().largest, 8) << "another file of the same size and time";
}

TEST_F(ShardRecordTest, SmallAndYoungShardsAreReadAgain) {
  open({1000, 0});
  EXPECT_FALSE(fs::exists(record())) << "a small one";
  open({0, 3'600'000'000'000});
  EXPECT_FALSE(fs::exists(record())) << "a young one";
}

TEST_F(ShardRecordTest, ALinkIsWhatItPointsTo) {
  fs::rename(shard(), temp_ / "there");
  fs::create_symlink(temp_ / "there", shard());
  open();
  pretend();
  EXPECT_EQ(open().largest, 77);
  ::usleep(20'000);
  write_shard(temp_ / "there", {1, 2});
  EXPECT_EQ(open().largest, 2);
}

TEST_F(ShardRecordTest, AnythingElseInItsPlaceIsNoRecord) {
  open();
  const std::string good = slurp(record());
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"format_version\": 1}"),
        std::string("{\"format_version\": 1, \"shards\": [7]}"),
        std::string("{\"format_version\": 2, \"shards\": []}"),
        std::string("{\"format_version\": 1, \"shards\": [{\"file\": \"train.bin\"}]}"),
        good.substr(0, good.size() / 2), std::string(1000, '[')}) {
    spill(record(), bad);
    EXPECT_EQ(open().largest, 9) << bad;
  }
  fs::remove(record());
  ASSERT_EQ(::mkfifo(record().c_str(), 0600), 0);
  EXPECT_EQ(open().largest, 9) << "a pipe without a writer does not hang";
  fs::remove(record());
  fs::create_directory(record());
  EXPECT_EQ(open().largest, 9) << "nor is a folder a fault";
}

TEST_F(ShardRecordTest, TwoAtOnceLeaveAWholeOne) {
  write_shard(temp_ / "val.bin", {2});
  ShardRecord one(temp_.path(), kAtOnce), two(temp_.path(), kAtOnce);
  one.open("train.bin"), two.open("val.bin");
  one.keep(), two.keep();
  EXPECT_TRUE(nlohmann::json::parse(slurp(record())).is_object());
  EXPECT_EQ(open().largest, 9);
}

TEST_F(ShardRecordTest, OnlyTheRecordHasItsName) {
  EXPECT_TRUE(is_shard_record(".verified"));
  EXPECT_TRUE(is_shard_record("..verified.tmp-12"));
  EXPECT_FALSE(is_shard_record("verified"));
  EXPECT_FALSE(is_shard_record(".verified2"));
}

// 257 MiB that take no room on the disk.
TEST_F(ShardRecordTest, AChangedByteOfALargeShardIsFound) {
  spill(temp_ / "poem.txt", "roses are red, so be it");
  PrepareOptions options;
  options.what = temp_ / "poem.txt";
  options.shard_format = "nanogpt";
  prepare(options);
  const std::string train = temp_ / "data/poem/train.bin", meta = temp_ / "data/poem/meta.json";
  constexpr int64_t kBytes = 257 << 20;
  fs::resize_file(train, kBytes);
  nlohmann::json json = nlohmann::json::parse(slurp(meta));
  nlohmann::json& entry = json["splits"]["train"][0];
  entry["bytes"] = kBytes, entry["tokens"] = kBytes / 2, entry["xxh3"] = xxh3_hex(xxh3_file(train));
  spill(meta, json.dump());
  EXPECT_NO_THROW(Corpus::open("poem"));
  const int fd = ::open(train.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::pwrite(fd, "\1", 1, 128 << 20), 1);
  ::close(fd);
  EXPECT_THAT(caught([] { Corpus::open("poem"); }).what(), HasSubstr("train.bin is corrupt"));
}

TEST_F(ShardRecordTest, APreparationReplacesAFolderThatHasOne) {
  spill(temp_ / "poem.txt", "roses are red, so be it");
  PrepareOptions options;
  options.what = temp_ / "poem.txt";
  prepare(options);
  spill(temp_ / "data/poem/.verified", "{}");
  spill(temp_ / "data/poem/..verified.tmp-7", "{");
  options.force = true;
  EXPECT_NO_THROW(prepare(options));
}

}  // namespace
}  // namespace fathom::testing
