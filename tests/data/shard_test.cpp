#include "fathom/data/shard.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>

#include "data/data_testing.h"

namespace fathom {
namespace {

using testing::all_tokens;
using testing::caught;
using testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::TempFolder;
using testing::write_shard;

std::string uint16_bytes(const std::vector<uint32_t>& ids) {
  std::string bytes;
  for (const uint32_t id : ids) bytes += {static_cast<char>(id & 255), static_cast<char>(id >> 8)};
  return bytes;
}

std::string int32_bytes(int32_t value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

// A .npy file as NumPy lays it out, but with a header of any length.
std::string npy(int version, const std::string& dictionary, const std::string& data) {
  std::string file = "\x93NUMPY";
  file += {static_cast<char>(version), '\0'};
  const std::string header = dictionary + "\n";
  const std::string length = int32_bytes(static_cast<int32_t>(header.size()));
  return file + length.substr(0, version == 1 ? 2 : 4) + header + data;
}

const std::vector<uint32_t> kIds = {50256, 0, 1, 65535, 513};
const std::vector<int64_t> kTokens = {50256, 0, 1, 65535, 513};
const std::string kDictionary = "{'descr': '<u2', 'fortran_order': False, 'shape': (5,), }";

class ShardTest : public ::testing::Test {
 protected:
  std::string file(const std::string& content) {
    spill(temp_ / "shard", content);
    return temp_ / "shard";
  }
  std::string refusal(const std::string& content) {
    return caught([&] { TokenShard shard(file(content)); }).what();
  }
  TempFolder temp_;
};

TEST_F(ShardTest, EveryFormatReadsAlike) {
  write_shard(temp_ / "a", kIds, ShardFormat::kNanoGpt);
  write_shard(temp_ / "b", kIds, ShardFormat::kLlmC);
  spill(temp_ / "c", npy(1, kDictionary, uint16_bytes(kIds)));
  const std::vector<std::pair<std::string, ShardFormat>> files = {
      {"a", ShardFormat::kNanoGpt}, {"b", ShardFormat::kLlmC}, {"c", ShardFormat::kNpy}};
  for (const auto& [name, format] : files) {
    const TokenShard shard(temp_ / name);
    EXPECT_EQ(shard.format(), format);
    EXPECT_EQ(shard.path(), temp_ / name);
    EXPECT_EQ(shard.size(), 5u);
    EXPECT_EQ(shard.max_token(), 65535);
    EXPECT_EQ(all_tokens(shard), kTokens);
  }
}

TEST_F(ShardTest, WritesTheBytesThatOtherProgramsRead) {
  write_shard(temp_ / "a", {1, 258}, ShardFormat::kNanoGpt);
  EXPECT_EQ(slurp(temp_ / "a"), std::string("\1\0\2\1", 4));
  write_shard(temp_ / "b", {1, 258}, ShardFormat::kLlmC);
  EXPECT_EQ(slurp(temp_ / "b"), int32_bytes(20240520) + int32_bytes(1) + int32_bytes(2) +
                                    std::string(1012, '\0') + std::string("\1\0\2\1", 4));
}

TEST_F(ShardTest, WhatIsWrittenInPiecesIsReadBack) {
  EXPECT_TRUE(rc::check([&](const std::vector<std::vector<uint16_t>>& pieces, bool llmc) {
    std::vector<int64_t> expected;
    ShardWriter writer(temp_ / "p", llmc ? ShardFormat::kLlmC : ShardFormat::kNanoGpt);
    for (const auto& piece : pieces) {
      writer.append(std::vector<uint32_t>(piece.begin(), piece.end()));
      expected.insert(expected.end(), piece.begin(), piece.end());
    }
    RC_PRE(!expected.empty());
    const bool like_llmc =  // beforehand: the macro's || evaluates both sides
        expected.size() > 1 && expected[0] + (expected[1] << 16) == 20240520;
    RC_PRE(!like_llmc);
    writer.finish();
    const TokenShard shard(temp_ / "p");
    RC_ASSERT(all_tokens(shard) == expected);
    const auto from = *rc::gen::inRange<size_t>(0, expected.size());
    const auto count = *rc::gen::inRange<size_t>(0, expected.size() - from + 1);
    std::vector<int64_t> part(count);
    shard.copy(from, {part.data(), count});
    RC_ASSERT(std::equal(part.begin(), part.end(), expected.begin() + static_cast<long>(from)));
  }));
}

TEST_F(ShardTest, ReadsNpyHeadersOfEveryVersionAndLength) {
  for (const int version : {1, 2, 3})
    for (int padding = 0; padding < 70; ++padding) {
      const std::string content =
          npy(version, kDictionary + std::string(padding, ' '), uint16_bytes(kIds));
      EXPECT_EQ(all_tokens(TokenShard(file(content))), kTokens) << version << " " << padding;
    }
  const std::string unusual = R"({"shape":(5),"fortran_order":False,"descr":"<u2"})";
  EXPECT_EQ(all_tokens(TokenShard(file(npy(1, unusual, uint16_bytes(kIds))))), kTokens);
}

TEST_F(ShardTest, RefusesOtherNpyFiles) {
  const std::string data = uint16_bytes(kIds);
  const auto with = [&](const std::string& descr, const std::string& order,
                        const std::string& shape) {
    return refusal(
        npy(1, "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }",
            data));
  };
  EXPECT_THAT(with("'<i8'", "False", "(5,)"), HasSubstr("its dtype is \"<i8\""));
  EXPECT_THAT(with("'>u2'", "False", "(5,)"), HasSubstr("its dtype is \">u2\""));
  EXPECT_THAT(with("'|O'", "False", "(5,)"), HasSubstr("pickled"));
  EXPECT_THAT(with("[('a', '<u2')]", "False", "(5,)"), HasSubstr("records"));
  EXPECT_THAT(with("'<u2'", "True", "(5,)"), HasSubstr("Fortran order"));
  EXPECT_THAT(with("'<u2'", "False", "(1, 5)"), HasSubstr("2 dimensions"));
  EXPECT_THAT(with("'<u2'", "False", "()"), HasSubstr("0 dimensions"));
  EXPECT_THAT(with("'<u2'", "False", "(6,)"), HasSubstr("promises 6 tokens"));
  EXPECT_THAT(with("'<u2'", "False", "(4,)"), HasSubstr("promises 4 tokens"));
  EXPECT_THAT(with("'<u2'", "False", "(9223372036854775813,)"), HasSubstr("promises"));
  EXPECT_THAT(with("'<u2'", "False", "(99999999999999999999,)"), HasSubstr("malformed"));
  EXPECT_THAT(with("'<u2'", "False", "(-1,)"), HasSubstr("malformed"));
  EXPECT_THAT(with("__import__('os')", "False", "(5,)"), HasSubstr("malformed"));
  EXPECT_THAT(refusal(npy(1, "{'descr': '<u2', 'descr': '<u2'}", data)), HasSubstr("\"descr\""));
  EXPECT_THAT(refusal(npy(1, "{'descr': '<u2', 'fortran_order': False}", data)),
              HasSubstr("malformed"));
  EXPECT_THAT(refusal(npy(1, kDictionary + "x", data)), HasSubstr("malformed"));
  EXPECT_THAT(refusal(npy(1, kDictionary, data + "x")), HasSubstr("promises 5 tokens"));
  EXPECT_THAT(refusal(npy(4, kDictionary, data)), HasSubstr("version is 4"));
}

TEST_F(ShardTest, ATruncatedOrScribbledNpyNeverReadsOutside) {
  const std::string whole = npy(2, kDictionary, uint16_bytes(kIds));
  for (size_t length = 6; length < whole.size(); ++length)
    EXPECT_NE(refusal(whole.substr(0, length)), "") << length;
  EXPECT_TRUE(rc::check([&](uint8_t value) {
    std::string damaged = whole;
    damaged[*rc::gen::inRange<size_t>(0, whole.size())] = static_cast<char>(value);
    try {
      all_tokens(TokenShard(file(damaged)));
    } catch (const Error&) {
    }
  }));
}

TEST_F(ShardTest, AHeaderIsNeverReadAsTokens) {
  write_shard(temp_ / "good", kIds, ShardFormat::kLlmC);
  const std::string good = slurp(temp_ / "good");
  for (size_t length = 4; length < good.size(); ++length)
    EXPECT_THAT(refusal(good.substr(0, length)), HasSubstr("corrupt llm.c shard")) << length;
  EXPECT_THAT(refusal(good + "xx"), HasSubstr("promises 5 tokens, the file has 12 bytes"));
  std::string damaged = good;
  damaged[4] = 2;
  EXPECT_THAT(refusal(damaged), HasSubstr("version is 2"));
  damaged = good;
  damaged[11] = '\x80';
  EXPECT_THAT(refusal(damaged), HasSubstr("corrupt llm.c shard"));
  EXPECT_THAT(refusal(int32_bytes(20240801) + good.substr(4)), HasSubstr("Llama 3"));
}

TEST_F(ShardTest, RefusesFilesWithoutTokens) {
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(refusal("abc"), HasSubstr("3 bytes, an odd number"));
  EXPECT_THAT(refusal(int32_bytes(20240520) + int32_bytes(1) + std::string(1016, '\0')),
              HasSubstr("no tokens"));
  const std::string empty = "{'descr': '<u2', 'fortran_order': False, 'shape': (0,), }";
  EXPECT_THAT(refusal(npy(1, empty, "")), HasSubstr("no tokens"));
  EXPECT_THAT(caught([&] { TokenShard shard(temp_ / "absent"); }).what(), HasSubstr("absent"));
}

TEST_F(ShardTest, CopyChecksItsBounds) {
  write_shard(temp_ / "a", kIds);
  const TokenShard shard(temp_ / "a");
  std::vector<int64_t> out(3);
  shard.copy(2, {out.data(), 3});
  EXPECT_EQ(out, (std::vector<int64_t>{1, 65535, 513}));
  EXPECT_THAT(caught([&] { shard.copy(3, {out.data(), 3}); }).what(), HasSubstr("which has 5"));
  EXPECT_THAT(caught([&] {
                shard.copy(UINT64_MAX, {out.data(), 3});
              }).what(),
              HasSubstr("which has 5"));
}

TEST_F(ShardTest, WriterRefusesWhatAShardCannotHold) {
  ShardWriter writer(temp_ / "w", ShardFormat::kLlmC);
  EXPECT_THAT(caught([&] {
                writer.append(std::vector<uint32_t>{1, 65536});
              }).what(),
              HasSubstr("token 65536 at position 1"));
  EXPECT_THAT(caught([&] { writer.finish(); }).what(), HasSubstr("no tokens"));
  EXPECT_EQ(caught([&] { ShardWriter npy_writer(temp_ / "n", ShardFormat::kNpy); }).kind(),
            ErrorKind::kUsage);
  EXPECT_THAT(caught([&] { ShardWriter lost(temp_ / "no/w", ShardFormat::kLlmC); }).what(),
              HasSubstr("cannot create"));
}

TEST_F(ShardTest, AnUnfinishedShardLeavesNothing) {
  {
    ShardWriter writer(temp_ / "w", ShardFormat::kLlmC);
    writer.append(kIds);
    EXPECT_EQ(temp_.entries(), std::vector<std::string>{"w.part"});
  }
  EXPECT_TRUE(temp_.entries().empty());
}

}  // namespace
}  // namespace fathom
