// What is no text and what are no ids, by content; and that texts and ids are never taken for it.
#include "fathom/data/content_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <random>

#include "data/data_testing.h"
#include "fathom/base/utf8.h"
#include "fathom/data/prepare.h"

namespace fathom::testing {
namespace {

using namespace std::string_literals;

std::string random_bytes(size_t n, uint32_t seed = 1) {
  std::mt19937 generator(seed);
  std::string bytes(n, '\0');
  for (char& c : bytes) c = static_cast<char>(generator());
  return bytes;
}

template <class T>
std::string raw(const std::vector<T>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)};
}

// A text in UTF-16 or UTF-32, as its code points' bytes.
template <class T>
std::string wide(const std::string& text, bool swapped = false) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); i += utf8_length(text, i)) {
    std::string unit = raw<T>({static_cast<T>(utf8_decode(text, i, utf8_length(text, i)))});
    if (swapped) std::reverse(unit.begin(), unit.end());
    bytes += unit;
  }
  return bytes;
}

struct Sample {
  std::string what, bytes;
};

// The formats by their first bytes, and something behind them.
std::vector<Sample> formats() {
  const std::string noise = random_bytes(4000);
  std::string tar = "notes.txt" + std::string(248, '\0') + "ustar\0"s + noise;
  return {
      {"gzip", "\x1f\x8b\x08\0\0\0\0\0\0\x03"s + noise},
      {"gzip", "\x1f\x8b\x08\x08\x12\x34\x56\x78\x02\x03notes\0"s + noise},
      {"zip", "PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt"s + noise},
      {"zstd", "\x28\xb5\x2f\xfd\x24"s + noise},
      {"xz",
       "\xfd"
       "7zXZ\0\0\x04"s +
           noise},
      {"bzip2", "BZh91AY&SY"s + noise},
      {"tar", tar},
      {"Parquet", "PAR1"s + noise + "PAR1"},
      {"SQLite", "SQLite format 3\0"s + noise},
      {"PNG", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"s + noise},
      {"JPEG", "\xff\xd8\xff\xe0\0\x10JFIF\0"s + noise},
      {"GIF", "GIF89a\x10\0\x10\0"s + noise},
      {"PDF", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"s + noise},
      {"ELF",
       "\x7f"
       "ELF\x02\x01\x01\0"s +
           noise},
      {"safetensors", "\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}"s + noise},
      {"pickle", "\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94("s + noise + "."},
      {"HDF5", "\x89HDF\r\n\x1a\n"s + noise}};
}

std::optional<ContentKind> as_text(const std::string& bytes) {
  return other_than_text(
      std::string_view(bytes).substr(0, kContentHead),
      std::string_view(bytes).substr(bytes.size() - std::min(bytes.size(), kContentTail)),
      bytes.size());
}
std::optional<ContentKind> as_ids(const std::string& bytes) {
  return other_than_ids(
      std::string_view(bytes).substr(0, kContentHead),
      std::string_view(bytes).substr(bytes.size() - std::min(bytes.size(), kContentTail)),
      bytes.size());
}

TEST(ContentKind, FormatsAreNeitherTextNorIds) {
  for (const Sample& sample : formats()) {
    ASSERT_TRUE(as_text(sample.bytes)) << sample.what;
    EXPECT_THAT(as_text(sample.bytes)->what, HasSubstr(sample.what));
    ASSERT_TRUE(as_ids(sample.bytes)) << sample.what;
    EXPECT_THAT(as_ids(sample.bytes)->what, HasSubstr(sample.what));
  }
  EXPECT_THAT(as_text("\x93NUMPY\x01\0"s + random_bytes(100))->what, HasSubstr(".npy"));
  EXPECT_THAT(as_text("\xc8\xd8\x34\x01\x01\0\0\0"s + random_bytes(100))->what, HasSubstr("llm.c"));
}

TEST(ContentKind, TextsOfWideLettersAreNamed) {
  for (const std::string& text :
       {std::string("Tyger Tyger, burning bright\nIn the forests"),
        std::string("Выхожу один я на дорогу\n"), std::string("床前明月光，\n疑是地上霜。\n")}) {
    for (const bool swapped : {false, true}) {
      const std::string utf16 = wide<uint16_t>(text, swapped),
                        utf32 = wide<uint32_t>(text, swapped);
      const std::string mark16 = swapped ? "\xfe\xff"s : "\xff\xfe"s;
      const std::string mark32 = swapped ? "\0\0\xfe\xff"s : "\xff\xfe\0\0"s;
      for (const auto& bytes : {utf16, mark16 + utf16}) {
        ASSERT_TRUE(as_text(bytes)) << text;
        EXPECT_THAT(as_text(bytes)->what, HasSubstr("UTF-16")) << text;
        EXPECT_THAT(as_text(bytes)->remedy, HasSubstr("iconv -f UTF-16"));
      }
      for (const auto& bytes : {utf32, mark32 + utf32}) {
        ASSERT_TRUE(as_text(bytes)) << text;
        EXPECT_THAT(as_text(bytes)->what, HasSubstr("UTF-32")) << text;
      }
      ASSERT_TRUE(as_ids(mark16 + utf16));
    }
  }
  const std::vector<uint16_t> letters = {20, 0, 31, 45, 64, 1, 1, 2, 39, 40};
  EXPECT_THAT(as_text(raw(letters))->what, HasSubstr("numbers"));
}

TEST(ContentKind, TextsAreTexts) {
  for (const std::string& text : {"PK is a motor-cycle club\n"s,
                                  "BM\n"s,
                                  "GIF89a is a format of pictures, GIF87a another\n"s,
                                  "%PDF-1.4 is how a document begins\n"s,
                                  "PAR1 and PAR1"s,
                                  "BZh91AY&SY"s,
                                  "RIFF\n"s,
                                  "\x80uro\n"s,
                                  "Rar!"s,
                                  "GGUF weights"s,
                                  "{\"json\": 1}"s,
                                  "SQLite format 3"s,
                                  "ustar"s,
                                  "x"s,
                                  "\n"s,
                                  "<!doctype html><html></html>"s,
                                  "version https://git-lfs.github.com/spec/v1\n"s,
                                  "MZ\n"s,
                                  "\xef\xbb\xbf with a mark\n"s,
                                  "caf\xe9 cr\xe8"
                                  "me, na\xefve \xfc"
                                  "ber (Latin-1)\n"s,
                                  "\xff\xd8\xff, as Latin-1 has it\n"s,
                                  "GIF89a caf\xe9\n"s,
                                  "a\0b"s,
                                  "abc\0def\0ghi\0"s,
                                  "\x1b[1mbold\x1b[0m\f\n\x1a"s,
                                  "床前明月光"s,
                                  "Выхожу"s,
                                  std::string(50, '\xff')})
    EXPECT_EQ(as_text(text).has_value(), false) << text << ": " << as_text(text)->what;
}

RC_GTEST_PROP(ContentKind, AnyUtf8IsAText, (const std::vector<uint32_t>& numbers)) {
  std::string text;
  for (const uint32_t n : numbers) {
    const uint32_t c = 0x20 + n % 0xD000;
    utf8_append(text, c);
  }
  RC_ASSERT(!as_text(text));
}

TEST(ContentKind, IdsAreIds) {
  std::mt19937 generator(3);
  for (int i = 0; i < 2000; ++i) {
    std::vector<uint16_t> ids(generator() % 600);
    const uint32_t vocabulary = i % 3 == 0 ? 65 : i % 3 == 1 ? 50257 : 256;
    for (uint16_t& id : ids) id = static_cast<uint16_t>(generator() % vocabulary);
    ASSERT_FALSE(as_ids(raw(ids))) << as_ids(raw(ids))->what;
  }
  // Ids of GPT-2 that begin as formats do: gzip, zip, PAR1, %PDF, a pickle, PNG.
  for (const std::vector<uint16_t>& start : {std::vector<uint16_t>{35615, 8, 0, 0, 768},
                                             {19280, 1027},
                                             {16720, 12626},
                                             {20517, 17988, 11565},
                                             {640, 99},
                                             {1152, 405},
                                             {20617, 18254, 2573, 2586}}) {
    std::vector<uint16_t> ids = start;
    while (ids.size() < 500) ids.push_back(static_cast<uint16_t>(generator() % 50257));
    EXPECT_FALSE(as_ids(raw(ids))) << as_ids(raw(ids))->what;
  }
}

TEST(ContentKind, TextsAndBytesAreNoIds) {
  EXPECT_EQ(as_ids("To be, or not to be, that is the question\n")->what, "a text");
  EXPECT_THAT(as_ids("\n<!DOCTYPE html>\n<html><title>404</title></html>")->what,
              HasSubstr("web page"));
  EXPECT_THAT(as_ids("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")->remedy,
              HasSubstr("git lfs pull"));
  std::vector<uint8_t> letters(1000);
  for (size_t i = 0; i < letters.size(); ++i) letters[i] = static_cast<uint8_t>(i * i % 65);
  EXPECT_THAT(as_ids(raw(letters))->what, HasSubstr("one byte each"));
}

class PrepareContent : public DataTest {
 protected:
  PrepareOptions file(const std::string& bytes) {
    spill(temp_ / "input", bytes);
    PrepareOptions options;
    options.what = temp_ / "input";
    return options;
  }
};

TEST_F(PrepareContent, WhatIsNoTextIsRefusedWithTheLineThatMakesOne) {
  const Error error = caught([&] { prepare(file(formats()[0].bytes)); });
  EXPECT_THAT(error.what(), HasSubstr("input is a gzip file, not a plain text"));
  EXPECT_EQ(error.hint(), "`zcat FILE > text` makes a text of it");
  EXPECT_FALSE(std::filesystem::exists(temp_ / "data/input"));
}

TEST_F(PrepareContent, AByteOrderMarkIsLeftOut) {
  const PrepareReport report =
      prepare(file("\xef\xbb\xbf"
                   "roses are red, so be"));
  EXPECT_EQ(report.bytes, 20U);
  EXPECT_EQ(report.sample.substr(0, 5), "roses");
  ASSERT_EQ(report.notices.size(), 1U);
  EXPECT_THAT(report.notices[0], HasSubstr("byte order mark"));
}

}  // namespace
}  // namespace fathom::testing
