// What is no text and what are no ids, by content; and that texts and ids are never taken for it.
#include "fathom/data/content_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
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

TEST(ContentKind, BinaryFilesHaveTheirNames) {
  const std::string noise = random_bytes(3000);
  for (const auto& [what, mark] :
       std::vector<Sample>{{"BMP", "BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"s},
                           {"WebP", "RIFF\x10\x20\0\0WEBPVP8 "s},
                           {"TIFF", "II*\0\x08\0\0\0"s},
                           {"icon", "\0\0\1\0\1\0"s},
                           {"WAV", "RIFF\x24\x08\0\0WAVEfmt "s},
                           {"MP3", "ID3\x04\0\0"s},
                           {"MP3", "\xff\xfb\x90\x64"s},
                           {"MP4", "\0\0\0\x20"s + "ftypisom"},
                           {"Ogg", "OggS\0\2"s},
                           {"FLAC", "fLaC\0\0\0\x22"s},
                           {"EXE", "MZ\x90\0\3\0"s},
                           {"Java", "\xca\xfe\xba\xbe\0\0\0\x34"s},
                           {"Python", "\xa7\x0d\r\n\0\0\0\0"s},
                           {"WebAssembly", "\0asm\1\0\0\0"s},
                           {"old Office", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"s},
                           {"DjVu", "AT&TFORM\0\1\2\3DJVM"s},
                           {"Avro", "Obj\1"s},
                           {"ORC", "ORC"s},
                           {"Feather", "FEA1\0\0\0\0"s},
                           {"compress", "\x1f\x9d\x90"s},
                           {"lzip", "LZIP\1"s},
                           {"lzma", "\x5d\0\0\x80\0"s},
                           {"zlib", "\x78\x9c"s},
                           {"cpio", "070701"s},
                           {"ar archive", "!<arch>\ndebian-binary  "s}}) {
    ASSERT_TRUE(as_text(mark + noise)) << what;
    EXPECT_THAT(as_text(mark + noise)->what, HasSubstr(what));
    const std::string letters = mark.substr(0, mark.find_first_of("\0\1\2\3\4\x10\x11\x1f"s));
    EXPECT_FALSE(as_text(letters + " and a text behind it\n")) << what;
  }
  EXPECT_THAT(as_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")->what,
              HasSubstr("Git LFS"));
}

TEST(ContentKind, BinaryWithoutANameIsNoText) {
  for (const size_t n : {200, 4000, 70000})
    EXPECT_THAT(as_text(random_bytes(n))->what, HasSubstr("binary data (")) << n;
  EXPECT_EQ(as_text(std::string(5000, '\0'))->what, "zeros alone");
  std::mt19937 generator(5);
  const auto check_ids = [&](auto number, uint32_t vocabulary) {
    std::vector<decltype(number)> ids(3000);
    for (auto& id : ids) {  // the first ones are frequent, as words are
      const double u = std::uniform_real_distribution<>(0, std::log(vocabulary))(generator);
      id = static_cast<decltype(number)>(std::exp(u)) - 1;
    }
    EXPECT_TRUE(as_text(raw(ids))) << sizeof number << " " << vocabulary;
  };
  for (const uint32_t vocabulary : {65, 1000, 50257}) {
    if (vocabulary == 65) check_ids(uint8_t(), vocabulary);
    check_ids(uint16_t(), vocabulary);
    check_ids(uint32_t(), vocabulary);
    check_ids(uint64_t(), vocabulary);
  }
  EXPECT_THAT(as_text(raw(std::vector<uint32_t>{40000, 17, 50000, 3, 9, 300, 7777, 1000}))->what,
              HasSubstr("numbers"));
  std::vector<float> weights(3000);
  for (float& w : weights) w = std::normal_distribution<float>(0, 0.02F)(generator);
  EXPECT_TRUE(as_text(raw(weights)));
  // A script with a program behind it: its first 64 KiB are a text.
  std::string script;
  while (script.size() < 80000) script += "echo of a script that unpacks itself\n";
  EXPECT_FALSE(other_than_text(script));
  EXPECT_TRUE(other_than_text(script + random_bytes(500000)));
}

std::string times(int n, const std::string& text) {
  std::string all;
  for (int i = 0; i < n; ++i) all += text;
  return all;
}

TEST(ContentKind, TextsWithControlCharactersOrOfOtherEncodingsAreTexts) {
  const std::string line = "To be, or not to be, that is the question\n";
  for (const auto& [what, unit] : std::vector<Sample>{
           {"colours", "\x1b[31mred\x1b[0m\a and\b\b\r\n"},
           {"pages", line + "\f"},
           {"names with zeros between", "/usr/share/doc/x\0/usr/share/doc/y\0"s},
           {"names of seven letters", "./a.txt\0./b.txt\0"s},
           {"names of three letters", "abc\0def\0"s},
           {"names of fifteen letters", "lorem ipsum dol\0"s},
           {"lists of names", "item 1\r\n\0\0"s},
           {"columns of Hive", "k\2v\1w\3x\1y\n"},
           {"messages of FIX", "8=FIX.4.2\0019=178\00135=8\00149=PHLX\001\n"},
           {"MARC",
            "01234nam\x1e\x1f"
            "aTitle\x1f"
            "cAuthor\x1e\x1d"},
           {"colours of IRC",
            "\3"
            "04nick\3: \2bold\2 \x16rev\x16 \x0f\n"},
           {"Latin-1",
            "\xdc"
            "ber den Wolken mu\xdf die Freiheit grenzenlos sein\n"},
           {"KOI8-R",
            "\xf7\xd9\xc8\xcf\xd6\xd5 \xcf\xc4\xc9\xce \xd1 \xce\xc1 \xc4\xcf\xd2\xcf\xc7\xd5\n"},
           {"Shift-JIS", "\x8c\xe1\x94\x79\x82\xcd\x94\x4c\x82\xc5\x82\xa0\x82\xe9\x81\x42\n"},
           {"ISO-2022-JP", "\x1b$B8cGZ$OG-$G$\"$k\x1b(B\n"},
           {"ISO-2022-KR",
            "\x0e"
            "3*\x0f \x0e:8\x1b\x0f\n"},
           {"EBCDIC", "\xe3\x96\x40\x82\x85\x6b\x40\x96\x99\x15"},
           {"cp437",
            "\x9a"
            "ber den Wolken mu\xe1 die Freiheit\r\n"}})
    for (const int n : {1, 3, 50, 5000}) {
      const auto kind = other_than_text(times(n, unit));
      EXPECT_FALSE(kind) << what << ", " << n << " times: " << kind->what;
    }
  std::string strayed;
  for (int i = 0; i < 2000; ++i)
    strayed += line.substr(0, 20) + static_cast<char>(i % 32) + line.substr(20);
  EXPECT_FALSE(other_than_text(times(3, line) + strayed));
  EXPECT_FALSE(other_than_text(times(2000, line) + std::string(4096, '\0') + times(2000, line)));
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

TEST_F(PrepareContent, FoldersOfOthersAreNoNames) {
  for (const std::string name : {"tokenizers", "downloads"}) {
    PrepareOptions options;
    options.what = temp_ / (name + ".txt");
    spill(options.what, "roses are red, violets are blue\n");
    const Error derived = caught([&] { prepare(options); });
    EXPECT_THAT(derived.what(), HasSubstr("cannot be called " + name));
    EXPECT_THAT(derived.hint(), HasSubstr("--name"));
    options.name = name;
    EXPECT_STREQ(caught([&] { prepare(options); }).what(), derived.what());
    options.name = "roses-of-" + name;
    EXPECT_FALSE(prepare(options).already_prepared);
  }
}

// It never ends, and is no text: not all the memory is needed to see that.
TEST_F(PrepareContent, AStreamIsLookedAtAfterItsBeginning) {
  PrepareOptions options;
  options.what = "/dev/zero";
  options.name = "zeros";
  EXPECT_THAT(caught([&] { prepare(options); }).what(), HasSubstr("/dev/zero is zeros alone"));
  options.most_in_memory = 1000;
  const Error error = caught([&] { prepare(options); });
  EXPECT_THAT(error.what(), HasSubstr("has more than the 1,000 bytes"));
  EXPECT_THAT(error.hint(), HasSubstr("into a file"));
}

}  // namespace
}  // namespace fathom::testing
