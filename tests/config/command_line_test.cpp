// Arguments to settings, with lists of fields of the tests' own.
#include "fathom/config/command_line.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "config/sample_config.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal_of;

struct Line {
  testing::Sample sample;
  std::string first, second;
  CommandLine line{"verb", "FIRST [SECOND]", "Does it.", "fathom verb one --count=2"};

  Line() {
    line.positional("FIRST", first, "the first word");
    line.positional("SECOND", second, "another", /*required=*/false);
  }
  // The settings as "key=text", files as "file:path".
  std::vector<std::string> parse(const Arguments& words) {
    std::vector<std::string> out;
    const auto settings = line.parse(words, sample.fields);
    for (const CommandLine::Setting& s : *settings)
      out.push_back(s.key.empty() ? "file:" + s.text : s.key + "=" + s.text);
    return out;
  }
  Error refusal(const Arguments& words) {
    return refusal_of([&] { line.parse(words, sample.fields); });
  }
};

TEST(CommandLine, BothSpellingsOfAValueAndBareSwitches) {
  Line l;
  EXPECT_THAT(l.parse({"one", "--count=2", "--rate", "0.5", "--flag"}),
              ElementsAre("count=2", "rate=0.5", "flag=true"));
  EXPECT_EQ(l.first, "one");
  EXPECT_THAT(l.parse({"one", "--flag=False", "--flag=0"}), ElementsAre("flag=False", "flag=0"));
}

TEST(CommandLine, AKeyMayMeanSomethingWithoutAValue) {
  Line l;
  EXPECT_THAT(l.parse({"one", "--ints"}), ElementsAre("ints=[4, 5]"));
  EXPECT_THAT(l.parse({"--ints", "one", "--count=2"}), ElementsAre("ints=[4, 5]", "count=2"));
  EXPECT_EQ(l.first, "one");
  EXPECT_THAT(l.parse({"one", "--ints", "--count=2"}), ElementsAre("ints=[4, 5]", "count=2"));
  EXPECT_THAT(l.parse({"one", "--ints", "[1, 2]", "--ints", "3"}),
              ElementsAre("ints=[1, 2]", "ints=3"));
  EXPECT_THAT(l.parse({"one", "--ints=[1]", "--ints="}), ElementsAre("ints=[1]", "ints="));
  EXPECT_THAT(l.refusal({"one", "--groups"}).what(), HasSubstr("a value is missing"));
}

TEST(CommandLine, PositionalWordsMayStandAnywhere) {
  Line l;
  EXPECT_THAT(l.parse({"--count=2", "one", "--flag", "two"}), ElementsAre("count=2", "flag=true"));
  EXPECT_EQ(l.first, "one");
  EXPECT_EQ(l.second, "two");
}

TEST(CommandLine, SettingsKeepTheOrderTyped) {
  Line l;
  l.line.takes_config_files();
  EXPECT_THAT(
      l.parse({"one", "two", "--count=1", "a.toml", "--count=2", "--rate=.1", "b.py", "--count=3"}),
      ElementsAre("count=1", "file:a.toml", "count=2", "rate=.1", "file:b.py", "count=3"));
}

TEST(CommandLine, DashesUnderscoresAndAliases) {
  Line l;
  EXPECT_THAT(l.parse({"one", "--maybe-count", "4", "--num-things=5", "--num_things=6"}),
              ElementsAre("maybe_count=4", "count=5", "count=6"));
}

TEST(CommandLine, AnAliasThatIsASwitchElsewhereMeansAValue) {
  const auto count = [](const Arguments& words) {
    Line l;
    EXPECT_TRUE(parse_into(l.line, words, l.sample.fields));
    EXPECT_EQ(l.first, "one");
    return l.sample.config.maybe_count;
  };
  EXPECT_EQ(count({"--only_one", "one"}), 1);
  EXPECT_EQ(count({"--only_one=True", "one"}), 1);
  EXPECT_EQ(count({"--only-one", "true", "one"}), 1);
  EXPECT_EQ(count({"one", "--maybe_count=7", "--only_one=False"}), std::nullopt);
  EXPECT_EQ(count({"one", "--only_one=False", "--maybe_count=7"}), 7);
  EXPECT_EQ(count({"one", "--only_one=4"}), 4) << "and else it is an alias";
  Line l;
  EXPECT_THAT(refusal_of([&] {
                parse_into(l.line, {"one", "--only_one=much"}, l.sample.fields);
              }).what(),
              HasSubstr("allowed: int or None"));
  EXPECT_THAT(refusal_of([&] {
                parse_into(l.line, {"one", "--maybe_count=True"}, l.sample.fields);
              }).what(),
              HasSubstr("allowed: int or None"));
  EXPECT_THAT(l.line.help(l.sample.fields), HasSubstr("also --only_one (true: 1, false: None)"));
  EXPECT_THAT(l.line.completions({"--only-one"}, "--fl", l.sample.fields), HasSubstr("--flag"));
}

TEST(CommandLine, ValuesAreNotTouched) {
  Line l;
  for (const std::string text :
       {"[[1,2],[3]]", "[1,2]", "[]", "a b", "a-b_c", "-3", "--so-called", "x=y", "{}", "%%", "#",
        "'q'", "\"q\"", "a,b", "é€😀", "@file", "\\n", "[a", "b]"}) {
    EXPECT_THAT(l.parse({"one", "--text=" + text}), ElementsAre("text=" + text));
    EXPECT_THAT(l.parse({"one", "--text", text}), ElementsAre("text=" + text));
  }
  EXPECT_THAT(l.parse({"one", "--text="}), ElementsAre("text="));
  EXPECT_THAT(l.parse({"one", "--text", ""}), ElementsAre("text="));
}

TEST(CommandLine, AListOfListsIsNotTornApart) {
  for (const Arguments& words : {Arguments{"one", "--groups=[[1,2],[3]]"},
                                 {"one", "--groups", "[[1,2],[3]]"},
                                 {"one", "--groups", "[[1, 2], [3]]"}}) {
    Line l;
    ASSERT_TRUE(parse_into(l.line, words, l.sample.fields));
    EXPECT_THAT(l.sample.config.groups, ElementsAre(ElementsAre(1, 2), ElementsAre(3)));
  }
  Line l;
  ASSERT_TRUE(parse_into(l.line, {"one", "--ints=[1,2]", "--ints", "[7]"}, l.sample.fields));
  EXPECT_THAT(l.sample.config.ints, ElementsAre(7));
}

TEST(CommandLine, ABareSwitchThatMayBeNoneIsTrueToo) {
  Line l;
  ASSERT_TRUE(parse_into(l.line, {"one", "--maybe_flag", "--count=2"}, l.sample.fields));
  EXPECT_EQ(l.sample.config.maybe_flag, true);
  EXPECT_EQ(l.sample.config.count, 2);
  for (const auto& [text, value] : {std::pair{"None", std::optional<bool>()}, {"False", {false}}}) {
    Line other;
    other.sample.config.maybe_flag = true;
    const std::string word = std::string("--maybe_flag=") + text;
    ASSERT_TRUE(parse_into(other.line, {"one", word}, other.sample.fields));
    EXPECT_EQ(other.sample.config.maybe_flag, value) << text;
  }
}

TEST(CommandLine, PositionalWordsAreNotTouchedEither) {
  Line l;
  l.parse({"[1,2]", "a-b_c"});
  EXPECT_EQ(l.first, "[1,2]");
  EXPECT_EQ(l.second, "a-b_c");
}

TEST(CommandLine, AfterTwoDashesWordsAreWords) {
  Line l;
  l.parse({"--count=1", "--", "--odd-name"});
  EXPECT_EQ(l.first, "--odd-name");
  EXPECT_THAT(l.parse({"one", "--"}), ElementsAre());
}

TEST(CommandLine, NegativeNumbersAreValues) {
  Line l;
  ASSERT_TRUE(parse_into(l.line, {"one", "--maybe_rate", "-1e-3"}, l.sample.fields));
  EXPECT_EQ(l.sample.config.maybe_rate, -1e-3);
}

TEST(CommandLine, UnknownKeysAreRefusedAsTyped) {
  Line l;
  const Error e = l.refusal({"one", "--mabye-count=3"});
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("--mabye-count"));
  EXPECT_THAT(e.hint(), HasSubstr("--maybe_count"));
  EXPECT_THAT(l.refusal({"one", "--zzzzzzz", "3"}).hint(), HasSubstr("fathom verb --help=all"));
  Line trains;  // words decide which keys there are
  trains.line.takes_config_files();
  EXPECT_THAT(trains.refusal({"one", "--zzzzzzz"}).hint(), HasSubstr("fathom verb one --help=all"));
  EXPECT_THAT(l.refusal({"one", "-x"}).what(), HasSubstr("-x"));
  EXPECT_THAT(l.refusal({"one", "-count=3"}).hint(), HasSubstr("--count"));
  EXPECT_THAT(l.refusal({"one", "--=3"}).what(), HasSubstr("--"));
}

TEST(CommandLine, AMissingValueIsToldInPlainWords) {
  Line l;
  const Error e = l.refusal({"one", "--count"});
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("--count"));
  EXPECT_THAT(e.what(), HasSubstr("value is missing"));
}

TEST(CommandLine, ASwitchMayHaveItsValueApart) {
  Line l;
  EXPECT_THAT(
      l.parse({"one", "--flag", "False", "--count=1", "--flag", "two", "--compile", "true"}),
      ElementsAre("flag=False", "count=1", "flag=true", "compile=true"));
  EXPECT_EQ(l.second, "two");
}

TEST(CommandLine, MissingAndSurplusWords) {
  Line l;
  const Error missing = l.refusal({"--count=1"});
  EXPECT_THAT(missing.what(), HasSubstr("FIRST"));
  EXPECT_THAT(missing.hint(), HasSubstr("fathom verb one --count=2"));
  const Error surplus = l.refusal({"one", "two", "three"});
  EXPECT_THAT(surplus.what(), HasSubstr("three"));
  EXPECT_THAT(surplus.hint(), HasSubstr("fathom verb FIRST [SECOND]"));
}

TEST(CommandLine, IgnoredKeysTakeAnyForm) {
  for (const char* word : {"--compile", "--compile=False", "--compile=max-autotune"}) {
    Line l;
    ASSERT_TRUE(parse_into(l.line, {"one", word}, l.sample.fields));
    EXPECT_EQ(l.sample.fields.notices().size(), 1u) << word;
  }
}

TEST(CommandLine, HelpListsEveryFieldWithTypeValueRangeAndAliases) {
  Line l;
  const std::string help = l.line.help(l.sample.fields);
  for (const Field& field : l.sample.fields.all()) {
    EXPECT_THAT(help, HasSubstr("--" + field.name()));
    EXPECT_THAT(help, HasSubstr(field.help()));
    EXPECT_THAT(help, HasSubstr(field.type()));
  }
  for (const char* part :
       {"Does it.", "fathom verb FIRST [SECOND]", "fathom verb one --count=2", "the first word",
        "[3], 1 <= count <= 1000", "--num_things", "first\n", "second\n"})
    EXPECT_THAT(help, HasSubstr(part));
}

}  // namespace
}  // namespace fathom
