#include "fathom/config/path_text.h"
#include "fathom/base/text.h"

#include "fathom/config/fields.h"

#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "fathom/config/config_file.h"
#include "fathom/config/fields.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kPaths = {"",
                                         "data",
                                         "/a/b c",
                                         "Война/и мир",
                                         "caf\xe9",
                                         "/caf\xe9/\xff.txt",
                                         "file:x",
                                         "file:///etc/x",
                                         "100%/\xe9",
                                         "a\\b'c\"d",
                                         "\n\t\x1b",
                                         std::string(3, '\x80'),
                                         "/%41/\xe9",
                                         "file:",
                                         "../up/\xe9/..",
                                         "~/\xc3",
                                         "//two"};

TEST(PathText, EveryPathComesBackAndItsTextIsUtf8) {
  for (const std::string& path : kPaths) {
    const std::string text = path_to_text(path);
    EXPECT_TRUE(is_utf8(text)) << text;
    EXPECT_EQ(path_from_text(text), path) << text;
  }
  for (int first = 1; first < 256; ++first)
    for (int second = 1; second < 256; ++second) {
      const std::string path = {static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(path_from_text(path_to_text(path)), path) << first << " " << second;
    }
}

TEST(PathText, IsAUrlOnlyWhereItMustBe) {
  EXPECT_EQ(path_to_text("/data/Война %41"), "/data/Война %41");
  EXPECT_EQ(path_to_text("/data/caf\xe9"), "file:///data/caf%E9");
  EXPECT_EQ(path_to_text("caf\xe9"), "file:caf%E9");
  EXPECT_EQ(path_from_text("file://localhost/caf%e9"), "/caf\xe9");
  EXPECT_EQ(path_from_text("file:/caf%E9"), "/caf\xe9");
  EXPECT_EQ(path_from_text("file://elsewhere/x"), "file://elsewhere/x");
  EXPECT_EQ(path_from_text("file:///a%00b%zz%4"), "/a%00b%zz%4");
}

// bash itself says what a word means.
TEST(ShellWord, IsWhatBashReads) {
  EXPECT_EQ(shell_word("Война.txt"), "Война.txt");
  EXPECT_EQ(shell_word("my poem (2).txt"), "'my poem (2).txt'");
  EXPECT_EQ(shell_word("caf\xe9.txt"), "$'caf\\xe9.txt'");
  for (const std::string& path : kPaths) {
    const std::string line = "bash -c " + shell_word("printf %s. " + shell_word(path));
    FILE* out = ::popen(line.c_str(), "r");
    ASSERT_NE(out, nullptr);
    std::array<char, 256> read{};
    const size_t size = std::fread(read.data(), 1, read.size(), out);
    ::pclose(out);
    EXPECT_EQ(std::string(read.data(), size), path + ".") << line;
  }
}

TEST(PathField, TakesEveryByteAndShowsAUrl) {
  std::string dataset, text, words;
  FieldList list;
  list.section("data");
  list.add("dataset", dataset, "a folder").path();
  list.add("text", text, "a text");
  list.add("words", words, "bytes").any_bytes();
  list.set_text("dataset", "/caf\xe9", "--dataset");
  EXPECT_EQ(dataset, "/caf\xe9");
  EXPECT_EQ(list.find("dataset")->value(), "file:///caf%E9");
  EXPECT_THAT(to_toml(list), HasSubstr("dataset = \"file:///caf%E9\""));
  const std::string toml = to_toml(list);
  dataset.clear();
  read_config_text(toml, "saved.toml", list);
  EXPECT_EQ(dataset, "/caf\xe9");
  EXPECT_THAT(testing::refusal_of([&] { list.set_text("text", "\xe9", "--text"); }).what(),
              HasSubstr("is not UTF-8"));
  list.set_text("words", "file:\xe9", "--words");
  EXPECT_EQ(words, "file:\xe9");
  EXPECT_THAT(
      testing::refusal_of([&] { list.set("dataset", std::string("a\0b", 3), "x.json"); }).what(),
      HasSubstr("NUL"));
}

TEST(HomeExpanded, IsTheShellsTilde) {
  ::setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(home_expanded("~/data"), "/home/somebody/data");
  EXPECT_EQ(home_expanded("~"), "/home/somebody");
  for (const char* path : {"~other/data", "./~/data", "a~", "", "data/~"})
    EXPECT_EQ(home_expanded(path), path);
  std::string folder;
  FieldList list;
  list.add("folder", folder, "").path();
  list.set_text("folder", "~/data", "--folder");
  EXPECT_EQ(folder, "/home/somebody/data");
  ::unsetenv("HOME");
  EXPECT_EQ(home_expanded("~/data"), "~/data");
}

}  // namespace
}  // namespace fathom
