// The manifest's text, and hostile ones: each is refused with a sentence, or is exactly what
// manifest_text() writes. Most attacks carry a right checksum: only the reader's rules stop them.
#include "fathom/io/checkpoint_manifest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/io/files.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kBegin[] = "{\n  \"format_version\": 1,\n  \"files\": [\n";

std::vector<ManifestFile> parse(const std::string& text) {
  return parse_manifest(as_bytes(text), "last");
}

std::string refusal(const std::string& text) {
  const std::string message = error_of([&] { parse(text); });
  EXPECT_THAT(message, StartsWith("last "));
  EXPECT_LT(message.size(), 400u);
  EXPECT_EQ(message.find('\n'), message.npos);
  return message;
}

// `above` with the checksum that fits.
std::string sealed(const std::string& above) {
  return above + "  \"checksum\": \"" + xxh3_hex(as_bytes(above)) + "\"\n}\n";
}

std::string line(const std::string& name, const std::string& size = "1",
                 const std::string& hash = "0123456789abcdef") {
  return fmt::format(R"(    {{"name": "{}", "size": {}, "xxh3": "{}"}})", name, size, hash);
}

std::string listing(const std::string& lines) {
  return sealed(kBegin + lines + "\n  ],\n");
}

std::string refusal_of(const std::string& lines) {
  return refusal(listing(lines));
}

TEST(Manifest, IsJsonAndRoundTrips) {
  const std::vector<ManifestFile> files = {
      {"a", 0, 0}, {"model.safetensors", INT64_MAX, UINT64_MAX}, {"state.json", 44, 0xabc}};
  const std::string text = manifest_text(files);
  const std::vector<ManifestFile> read = parse(text);
  ASSERT_EQ(read.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(read[i].name, files[i].name);
    EXPECT_EQ(read[i].size, files[i].size);
    EXPECT_EQ(read[i].xxh3, files[i].xxh3);
  }
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["format_version"], 1);
  EXPECT_EQ(json["files"][2]["name"], "state.json");
  EXPECT_EQ(json["files"][2]["size"], 44);
  EXPECT_EQ(json["files"][2]["xxh3"], "0000000000000abc");
  EXPECT_EQ(listing(line("a", "0", "0000000000000000")), manifest_text({{"a", 0, 0}}));
  // The text on disk may never change: checkpoints outlive programs.
  EXPECT_EQ(xxh3_hex(as_bytes(text)), "2e484a15c89ad07a");
}

TEST(Manifest, NamesAreNeverPaths) {
  for (const std::string name :
       {"", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\\\\b", ".hidden", "a b", "a\\u0000",
        "a\\n", "\\u0061", "\xC3\xA4", "manifest.json", "a\"", "~a", "a:b"}) {
    EXPECT_THAT(refusal_of(line(name)), StartsWith("last is damaged: manifest.json has no "))
        << name;
    EXPECT_FALSE(is_plain_file_name(name) && name != kManifestName) << name;
  }
  EXPECT_THAT(refusal_of(line(std::string("a\0b", 3))), HasSubstr("has no"));
  EXPECT_THAT(refusal_of(line(std::string(256, 'a'))), HasSubstr("has no"));
  EXPECT_EQ(parse(listing(line(std::string(255, 'a')))).size(), 1u);
}

TEST(Manifest, SizesAreCounts) {
  for (const char* size : {"", "-1", "-0", "+1", "01", "00", "1.0", "1e3", "0x1", "\"1\"", "null",
                           "true", "[]", "{}", " 1", "1 ", "NaN"})
    EXPECT_THAT(refusal_of(line("a", size)), HasSubstr("manifest.json has no ")) << size;
  for (const char* size :
       {"9223372036854775808", "18446744073709551616", "99999999999999999999999999"})
    EXPECT_THAT(refusal_of(line("a", size)), HasSubstr("has no a number below 2^63")) << size;
  EXPECT_EQ(parse(listing(line("a", "9223372036854775807")))[0].size, INT64_MAX);
}

TEST(Manifest, HashesAreSixteenLowerCaseDigits) {
  for (const char* hash : {"", "0", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0",
                           "0123456789abcdeg", "0x23456789abcdef", "\\u0030123456789abcde"})
    EXPECT_THAT(refusal_of(line("a", "1", hash)), HasSubstr("manifest.json has no ")) << hash;
}

TEST(Manifest, HasOneFormOnly) {
  const std::string good = listing(line("a"));
  EXPECT_EQ(parse(good).size(), 1u);
  EXPECT_THAT(refusal_of(line("b") + ",\n" + line("a")), HasSubstr("lists a out of order"));
  EXPECT_THAT(refusal_of(line("a") + ",\n" + line("a")), HasSubstr("lists a out of order or twic"));
  EXPECT_THAT(refusal_of(""), HasSubstr("has no"));
  EXPECT_THAT(refusal_of(line("a") + ",\n"), HasSubstr("has no"));
  EXPECT_THAT(refusal_of(line("a") + ", " + line("b")), HasSubstr("has no"));
  // Duplicate and unknown keys, other orders, other spacing.
  EXPECT_THAT(
      refusal_of(R"(    {"name": "a", "name": "b", "size": 1, "xxh3": "0123456789abcdef"})"),
      HasSubstr("has no \"\\\", \\\"size\\\": \" at its byte 53"));
  EXPECT_THAT(refusal_of(R"(    {"size": 1, "name": "a", "xxh3": "0123456789abcdef"})"),
              HasSubstr("has no"));
  EXPECT_THAT(refusal_of(R"(    {"name":"a", "size": 1, "xxh3": "0123456789abcdef"})"),
              HasSubstr("has no"));
  EXPECT_THAT(refusal(sealed(kBegin + line("a") + "\n  ],\n  \"files\": [],\n")),
              HasSubstr("has no \"  \\\"checksum"));
  EXPECT_THAT(refusal(good + good), HasSubstr("has no its end"));
  EXPECT_THAT(refusal(" " + good), HasSubstr("at its byte 0"));
  EXPECT_THAT(refusal("\xEF\xBB\xBF" + good), HasSubstr("at its byte 0"));
  EXPECT_THAT(refusal("[]}\n"), HasSubstr("at its byte 0"));
}

TEST(Manifest, ChecksItself) {
  std::string text = listing(line("a"));
  text[text.find("\"size\": 1") + 8] = '2';
  EXPECT_EQ(refusal(text),
            "last is damaged: the checksum of manifest.json is not the recorded one");
}

TEST(Manifest, AnotherVersionIsNotDamage) {
  std::string text = listing("anything");
  text.replace(text.find(": 1"), 3, ": 20");
  EXPECT_EQ(refusal(text),
            "last cannot be used: manifest.json has format_version 20, this program reads 1");
}

TEST(Manifest, IsBounded) {
  EXPECT_THAT(refusal(std::string((1 << 20) + 1, '[')), HasSubstr("longer than 1048576 bytes"));
  EXPECT_THAT(refusal(std::string((1 << 20) - 2, '[') + "}\n"), HasSubstr("at its byte 0"));
  std::string lines = line("0000");
  for (int i = 1; i < 1000; ++i) lines += ",\n" + line(fmt::format("{:04}", i));
  EXPECT_EQ(parse(listing(lines)).size(), 1000u);
  EXPECT_THAT(refusal_of(lines + ",\n" + line("1000")), HasSubstr("lists more than 1000 files"));
}

TEST(Manifest, CutAnywhereIsRefused) {
  const std::string good = listing(line("a") + ",\n" + line("b"));
  for (size_t n = 0; n < good.size(); ++n)
    EXPECT_THAT(refusal(good.substr(0, n)), StartsWith("last is ")) << n;
}

// What a fuzzer checks: whatever is accepted is the one text of its list. Pieces of good manifests
// are put together anew and sealed, so that many get as far as the last rule.
TEST(Manifest, WhatIsAcceptedIsWhatIsWritten) {
  const RandomStream random(1, "manifest");
  const std::string good = listing(line("a") + ",\n" + line("b"));
  int64_t accepted = 0;
  for (uint64_t round = 0; round < 20'000; ++round) {
    uint64_t draw = 8 * round;
    const auto below = [&](uint64_t n) { return static_cast<size_t>(random.below(draw++, n)); };
    const size_t seal = good.find("  \"checksum\"");
    std::string text = good.substr(0, seal);
    const size_t from = below(seal), length = below(40), to = below(seal);
    switch (below(4)) {
      case 0:
        text.erase(from, length);
        break;
      case 1:
        text.insert(to, text.substr(from, length));
        break;
      case 2:
        text[from] = static_cast<char>(below(256));
        break;
      default:
        text[from] = good[to];
    }
    text = sealed(text);
    std::vector<ManifestFile> files;
    try {
      files = parse(text);
    } catch (const Error&) {
      continue;
    }
    ++accepted;
    ASSERT_EQ(manifest_text(files), text);
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace fathom
