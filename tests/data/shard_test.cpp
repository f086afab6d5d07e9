#include "fathom/data/shard.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstring>

#include "data/data_testing.h"
#include "fathom/data/shard_facts.h"

namespace fathom {
namespace {

using testing::all_tokens;
using testing::caught;
using ::testing::HasSubstr;
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

template <class T>
std::string raw(const std::vector<T>& ids, bool swapped = false) {
  std::string bytes;
  for (const T id : ids) {
    std::string one(sizeof id, '\0');
    std::memcpy(one.data(), &id, sizeof id);
    if (swapped) std::reverse(one.begin(), one.end());
    bytes += one;
  }
  return bytes;
}

class ShardFactsTest : public ShardTest {
 protected:
  std::string other(const std::string& content) {
    return read_through(TokenShard(file(content))).other;
  }
};

// Of a large and of a small vocabulary, letters of which the lowest is 0 among them.
TEST_F(ShardFactsTest, WiderIdsAreToldByTheirRhythm) {
  for (const uint32_t vocabulary : {100'000u, 50'257u, 65u, 4u}) {
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 1000; ++i)
      ids.push_back((i * i / 3 + 7919 * i) % vocabulary % (i % 9 ? 60'000 : 100'000));
    EXPECT_EQ(other(raw(ids)), "ids of 32 bits each") << vocabulary;
    EXPECT_EQ(other(raw(std::vector<int64_t>(ids.begin(), ids.end()))), "ids of 64 bits each")
        << vocabulary;
    if (vocabulary > 65'536) continue;
    EXPECT_EQ(other(raw(ids, true)), "ids of 32 bits each, the upper half first") << vocabulary;
    EXPECT_EQ(other(raw(std::vector<uint16_t>(ids.begin(), ids.end()))), "") << vocabulary;
  }
  EXPECT_THAT(caught([&] {
                const TokenShard shard(file(raw(std::vector<uint32_t>(40, 17))));
                require_uint16(shard, read_through(shard));
              }).hint(),
              HasSubstr("numpy.uint16"));
}

TEST_F(ShardFactsTest, WhatIsNearlyARhythmIsNone) {
  std::vector<uint16_t> digits, answers, zeros(1000, 0), late;
  for (uint16_t i = 0; i < 1000; ++i) {
    digits.push_back(static_cast<uint16_t>(i % 2 ? i % 10 : 20 + i % 26));  // a letter and a digit
    answers.push_back(static_cast<uint16_t>(i % 2 ? 0 : 1 + i / 2 % 2));    // a digit a line
    late.push_back(static_cast<uint16_t>(i == 999 ? 300 : i % 2 ? 0 : 40 + i % 20));
  }
  EXPECT_EQ(other(raw(digits)), "");
  EXPECT_EQ(other(raw(answers)), "");
  EXPECT_EQ(other(raw(zeros)), "");
  EXPECT_EQ(other(raw(late)), "") << "the whole file counts";
  EXPECT_EQ(other(raw(std::vector<uint32_t>{17, 18, 19})), "") << "too few to tell";
}

TEST_F(ShardFactsTest, AreThoseOfTheFile) {
  for (const ShardFormat format : {ShardFormat::kNanoGpt, ShardFormat::kLlmC}) {
    write_shard(temp_ / "a", kIds, format);
    const ShardFacts facts = read_through(TokenShard(temp_ / "a"));
    EXPECT_EQ(facts.xxh3, xxh3_file(temp_ / "a"));
    EXPECT_EQ(facts.largest, 65535);
  }
}

TEST_F(ShardTest, LlmCsOtherFilesAreNamed) {
  const auto other = [&](int32_t kind, int32_t version = 1) {
    return refusal(int32_bytes(kind) + int32_bytes(version) + int32_bytes(1024) +
                   std::string(1012, '\0') + std::string(64, '\x55'));
  };
  EXPECT_THAT(other(20240326, 3), HasSubstr("20240326, weights"));
  EXPECT_THAT(other(20240328), HasSubstr("20240328, a tokenizer"));
  EXPECT_THAT(other(20240522), HasSubstr("questions of an evaluation"));
  EXPECT_THAT(other(20250711), HasSubstr("llm.c's file of kind 20250711"));
  EXPECT_THAT(
      refusal(raw<int32_t>({20240520, 1, 5}, true) + std::string(1012, '\0') + "0123456789"),
      HasSubstr("the wrong way round"));
  // Ids whose first two are a day.
  std::vector<uint32_t> ids = {20'000, 309, 3, 0};
  for (uint32_t i = 0; i < 600; ++i) ids.push_back(i * 31 % 50'000);
  write_shard(temp_ / "day", ids);
  EXPECT_EQ(TokenShard(temp_ / "day").size(), ids.size());
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
