// TOML files, and the way from a configuration to a file and back. nanoGPT's files:
// nanogpt_file_test.cpp.
#include "fathom/config/config_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "config/config_testing.h"
#include "config/sample_config.h"
#include "fathom/base/text.h"
#include "io/temp_folder.h"

namespace fathom {
namespace {

using testing::Colour;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal_of;
using testing::Sample;
using ::testing::StartsWith;

void read(Sample& s, const std::string& text, const std::string& name = "a.toml") {
  read_config_text(text, name, s.fields);
}

// The message that a file with this text ends with.
std::string refused(const std::string& text, const std::string& name = "a.toml") {
  Sample s;
  const Error e = refusal_of([&] { read(s, text, name); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
  return e.what();
}

TEST(Toml, SectionsAndFlatKeysMeanTheSame) {
  Sample sections, flat;
  read(sections, "[first]\ncount = 7\ntext = 'x'\n[second]\ngroups = [[1, 2], [3]]\n");
  read(flat, "groups = [[1, 2], [3]]\ncount = 7\ntext = 'x'\n");
  EXPECT_EQ(sections.config.count, 7);
  EXPECT_THAT(sections.config.groups, ElementsAre(ElementsAre(1, 2), ElementsAre(3)));
  EXPECT_EQ(to_toml(sections.fields), to_toml(flat.fields));
}

// A run's own config.toml may be older than the place of its keys.
TEST(Toml, AKeyMayStandInASectionOfBefore) {
  int64_t count = 0;
  FieldList list;
  list.section("now");
  list.add("count", count, "").formerly_in("before");
  for (const char* section : {"now", "before"}) {
    read_config_text(fmt::format("[{}]\ncount = 7\n", section), "a.toml", list);
    EXPECT_EQ(std::exchange(count, 0), 7);
  }
  EXPECT_THAT(refusal_of([&] { read_config_text("[later]\ncount = 7\n", "a.toml", list); }).what(),
              HasSubstr("belongs to [now], not to [later]"));
}

TEST(Toml, EveryType) {
  Sample s;
  read(s, R"(
flag = true          # a comment
count = 1_000
rate = 2.5e-1
text = """two
lines # no comment"""
maybe-count = 0x1F
maybe_rate = "none"
ints = [1,
        -2]
floats = [1, 2.5]
colour = "none"
compile = true
)");
  EXPECT_TRUE(s.config.flag);
  EXPECT_EQ(s.config.count, 1000);
  EXPECT_EQ(s.config.rate, 0.25);
  EXPECT_EQ(s.config.text, "two\nlines # no comment");
  EXPECT_EQ(s.config.maybe_count, 31);
  EXPECT_FALSE(s.config.maybe_rate);
  EXPECT_THAT(s.config.ints, ElementsAre(1, -2));
  EXPECT_THAT(s.config.floats, ElementsAre(1.0, 2.5));
  EXPECT_EQ(s.config.colour, Colour::kNone);
  EXPECT_EQ(s.fields.notices().size(), 1u);
}

TEST(Toml, NoneIsNoneExceptInATextField) {
  Sample s;
  s.config.maybe_count = 3;
  read(s, "maybe_count = \"none\"\ntext = \"none\"\n");
  EXPECT_FALSE(s.config.maybe_count);
  EXPECT_EQ(s.config.text, "none");
}

TEST(Toml, OriginsAreFileAndLine) {
  Sample s;
  read(s, "\n[first]\n\ncount = 7\n", "dir/my.toml");
  EXPECT_EQ(s.fields.find("count")->origin(), "dir/my.toml:4");
  EXPECT_TRUE(s.fields.given("count"));
  EXPECT_FALSE(s.fields.given("rate"));
}

TEST(Toml, RefusalsCarryFileAndLine) {
  EXPECT_THAT(refused("\n\ncount = 0\n"), StartsWith("a.toml:3: count = 0"));
  EXPECT_THAT(refused("[first]\ncuont = 1\n"), StartsWith("a.toml:2: unknown key cuont"));
  EXPECT_THAT(refused("count = \n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("flag = true\ncount = 1 2\n"), StartsWith("a.toml:2: "));
  EXPECT_THAT(refused("flag = True\n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("text = 'open\n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("text = \"\xFF\"\n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("count = 99999999999999999999\n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("rate = nan\n"), HasSubstr("not a number"));
  EXPECT_THAT(refused("import os\n"), StartsWith("a.toml:1: "));
}

TEST(Toml, AKeyInAnotherSectionIsToldWhereItBelongs) {
  const std::string said = refused("[second]\ncount = 3\n");
  EXPECT_THAT(said, StartsWith("a.toml:2: "));
  EXPECT_THAT(said, HasSubstr("[first]"));
  EXPECT_THAT(said, HasSubstr("[second]"));
}

TEST(Toml, DatesAndTablesAreNoValues) {
  EXPECT_THAT(refused("count = 2024-01-02\n"), StartsWith("a.toml:1: "));
  EXPECT_THAT(refused("text = 07:32:00\n"), HasSubstr("date"));
  EXPECT_THAT(refused("ints = [1979-05-27]\n"), HasSubstr("date"));
  EXPECT_THAT(refused("[first]\ncount = {a = 1}\n"), StartsWith("a.toml:2: "));
  EXPECT_THAT(refused("[first.count]\na = 1\n"), StartsWith("a.toml:1: "));
}

TEST(Toml, AKeyThatIsSetTwiceIsRefused) {
  EXPECT_THAT(refused("count = 1\ncount = 2\n"), StartsWith("a.toml:2: "));
  EXPECT_THAT(refused("count = 1\nnum_things = 2\n"), HasSubstr("twice"));
  EXPECT_THAT(refused("num-things = 1\nnum_things = 2\n"), HasSubstr("twice"));
  EXPECT_THAT(refused("count = 1\n[first]\ncount = 2\n"), HasSubstr("twice"));
}

TEST(Toml, TheFirstMistakeInTheFileIsTheOneReported) {
  EXPECT_THAT(refused("text = 3\ncount = 0\n"), StartsWith("a.toml:1: text"));
}

// However an editor ends its lines.
TEST(ConfigFile, LinesEndInThreeWays) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    for (const char* name : {"a.py", "a.toml"}) {
      SCOPED_TRACE(std::string(name) + " " + std::to_string(end[0]));
      const auto lines = [&](std::initializer_list<const char*> all) {
        std::string text;
        for (const char* line : all) text += std::string(line) + end;
        return text;
      };
      Sample s;
      read(s, lines({"# a comment", "count = 7  # and another", "", "rate = 0.25"}), name);
      EXPECT_EQ(s.config.count, 7);
      EXPECT_EQ(s.config.rate, 0.25);
      EXPECT_EQ(s.fields.find("rate")->origin(), std::string(name) + ":4");
      EXPECT_TRUE(s.fields.notices().empty());
      EXPECT_THAT(refused(lines({"# a comment", "count = 7", "rate = 5"}), name),
                  StartsWith(std::string(name) + ":3"));
    }
  }
  Sample mixed;
  read(mixed, "# old\rcount = 7\r\nrate = 0.25\ntext = 'a\\rb'", "a.py");
  EXPECT_EQ(mixed.config.count, 7);
  EXPECT_EQ(mixed.fields.find("text")->origin(), "a.py:4");
  EXPECT_EQ(mixed.config.text, "a\rb") << "what a string writes as an escape stays";
}

TEST(ConfigFile, AByteOrderMarkIsPassedOver) {
  for (const char* name : {"a.py", "a.toml"}) {
    Sample s;
    read(s,
         "\xEF\xBB\xBF"
         "count = 7\n",
         name);
    EXPECT_EQ(s.config.count, 7);
    EXPECT_EQ(s.fields.find("count")->origin(), std::string(name) + ":1");
  }
  Sample joined;
  read(joined,
       "rate = 0.25\n\xEF\xBB\xBF"
       "count = 7\n",
       "a.py");
  EXPECT_EQ(joined.config.count, 7) << "of two files made into one";
}

TEST(ConfigFile, OtherEncodingsAreCalledByTheirNames) {
  using namespace std::string_literals;
  for (const char* name : {"a.py", "a.toml"}) {
    EXPECT_EQ(refused("\xFF\xFEn\0=\0"s, name), std::string(name) + " is UTF-16, not UTF-8");
    EXPECT_EQ(refused("\xFE\xFF\0n\0="s, name), std::string(name) + " is UTF-16, not UTF-8");
    EXPECT_THAT(refused("c\0o\0"s, name), HasSubstr("UTF-16 without its mark, or no text"));
  }
}

TEST(ConfigFile, OneThatSetsNothingIsWorthANotice) {
  for (const char* name : {"a.py", "a.toml"}) {
    for (const char* text : {"", " \n\n", "# count = 7", "#a\u0085count = 7"}) {
      Sample s;
      read(s, text, name);
      EXPECT_THAT(s.fields.notices(),
                  ElementsAre(StartsWith(std::string(name) + " sets nothing: it ")))
          << text;
    }
    Sample ignored;
    read(ignored, "compile = true", name);
    EXPECT_EQ(ignored.fields.notices().size(), 1u) << "that the key has no effect is enough";
  }
  Sample sections;
  read(sections, "[first]\n[second]\n", "a.toml");
  EXPECT_EQ(sections.fields.notices().size(), 1u);
}

TEST(ConfigFile, MissingAndTooLargeFilesAreRefused) {
  Sample s;
  const testing::TempFolder folder;
  const Error missing = refusal_of([&] { read_config_file(folder / "no.toml", s.fields); });
  EXPECT_EQ(missing.kind(), ErrorKind::kUsage);
  EXPECT_THAT(missing.what(), HasSubstr(folder / "no.toml"));
  testing::spill(folder / "big.toml", std::string(2 << 20, '#'));
  EXPECT_THAT(refusal_of([&] { read_config_file(folder / "big.toml", s.fields); }).what(),
              HasSubstr("bytes"));
  testing::spill(folder / "ok.toml", "count = 4");
  read_config_file(folder / "ok.toml", s.fields);
  EXPECT_EQ(s.config.count, 4);
}

TEST(ConfigFile, WritingAndReadingIsTheIdentity) {
  EXPECT_TRUE(rc::check([] {
    Sample from, to;
    testing::randomise(from.fields);
    testing::randomise(to.fields);
    const std::string toml = to_toml(from.fields);
    RC_LOG() << toml;
    read(to, toml, "config.toml");
    for (const Field& field : from.fields.all()) {
      const Value back = to.fields.find(field.name())->value();
      RC_ASSERT(back == field.value());
      RC_ASSERT(back.type() == field.value().type());
    }
  }));
}

TEST(ConfigFile, KeysOfManyPartsAreNotFollowed) {
  const auto parts = [](int n) {
    std::string key = "a";
    for (int i = 1; i < n; ++i) key += ".a";
    return key;
  };
  const auto message = [](const std::string& text) {
    Sample s;
    return std::string(refusal_of([&] { read(s, text, "a.toml"); }).what());
  };
  EXPECT_THAT(message("count = 3\n" + parts(17) + " = 1"),
              HasSubstr("a.toml:2: a key has more than"));
  EXPECT_THAT(message(parts(16) + " = 1"), ::testing::Not(HasSubstr("parts")));
  EXPECT_THAT(message("[" + parts(500'000) + "]"), HasSubstr("parts"));
  EXPECT_THAT(message("text = [\"\"\"a\"\"\"\"\", {" + parts(500'000) + " = 1}]"),
              HasSubstr("parts"));
  Sample s;
  read(s, "text = \"" + parts(20) + "\" # " + parts(20) + "\nfloats = [0.1, 0.2, 0.3]", "a.toml");
  EXPECT_EQ(s.config.text, parts(20)) << "dots in texts and comments are none of keys";
}

TEST(ConfigFile, ErrorsAreShortAndFitForATerminal) {
  const std::string line(5000, 'x');
  for (const std::string& text : std::initializer_list<std::string>{
           "flag = tr\x04", "\"\\u001b[31m\" = 1", "[\"\\u001b\"]\ncount = 1",
           "text = [\"" + line + "\"]", line + " = 1"}) {
    for (const char* name : {"a.toml", "a.py"}) {
      Sample s;
      const Error error = refusal_of([&] { read(s, text, name); });
      EXPECT_TRUE(is_printable(error.what())) << in_quotes(error.what());
      EXPECT_LT(std::string(error.what()).size(), 400u);
    }
  }
}

TEST(ConfigFile, AnyBytesAreReadOrRefused) {
  EXPECT_TRUE(rc::check([](const std::string& noise) {
    const std::string text =
        *rc::gen::element<std::string>("", "count = ", "text = '", "[first]\n", "ints = [1,") +
        noise;
    for (const char* name : {"a.toml", "a.py"}) {
      Sample s;
      try {
        read(s, text, name);
      } catch (const Error& e) {
        RC_ASSERT(std::string(e.what()).rfind(name, 0) == 0u);
      }
    }
  }));
}

}  // namespace
}  // namespace fathom
