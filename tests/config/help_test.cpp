// What `--help` prints, and what words may become.
#include <gmock/gmock.h>

#include <sstream>

#include "config/config_testing.h"
#include "config/sample_config.h"
#include "fathom/config/command_line.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::refusal_of;
using ::testing::StartsWith;

// A list of many keys, some of them usual, in two sections.
struct ManyKeys {
  std::vector<int64_t> slots = std::vector<int64_t>(60);
  FieldList fields;
  std::string word, more;
  CommandLine line{"verb", "WORD [--key=value ...]", "Does it.", "fathom verb one"};

  ManyKeys() {
    for (size_t i = 0; i < slots.size(); ++i) {
      if (i % 30 == 0) fields.section(i == 0 ? "small" : "large_ones");
      Field& field = fields.add("key_" + std::to_string(i), slots[i],
                                "what it is for; and much more that nobody reads at first");
      if (i % 20 == 0) field.usual();
    }
    fields.find("key_7")->suggests([] { return as_suggestions({"7", "77", "8"}); });
    line.positional("WORD", word, "the first word");
    line.suggests([] { return std::vector<Suggestion>{{"one", "the first"}, {"two", ""}}; });
    line.positional("FILE", more, "a file", /*required=*/false);
  }
  std::string help(const std::string& topic = "") const { return line.help(fields, topic); }
  std::string words(const Arguments& before, const std::string& current) const {
    return line.completions(before, current, fields);
  }
};

TEST(Help, OfManyKeysTheUsualOnesAndTheSections) {
  const std::string help = ManyKeys().help();
  EXPECT_THAT(help, HasSubstr("\n  --key_20               [0] what it is for\n"));
  EXPECT_THAT(help, Not(HasSubstr("--key_21 ")));
  EXPECT_THAT(help, Not(HasSubstr("nobody reads")));
  EXPECT_THAT(help, HasSubstr("\n  small           30  key_0, key_1, key_2, "));
  EXPECT_THAT(help, HasSubstr("\n  large_ones      30  key_30, "));
  EXPECT_THAT(help, HasSubstr("`fathom verb WORD FILE --help=SECTION`"));
}

TEST(Help, OfASectionItsKeysAndOfAllEveryKey) {
  const ManyKeys many;
  for (const char* name : {"large_ones", "large-ones"})
    EXPECT_THAT(many.help(name), AllOf(StartsWith("large_ones\n  --key_30 "), HasSubstr("--key_59"),
                                       HasSubstr("nobody reads"), Not(HasSubstr("--key_29"))));
  EXPECT_THAT(many.help("all"),
              AllOf(HasSubstr("Usage:"), HasSubstr("--key_0 "), HasSubstr("--key_59")));
}

TEST(Help, OfAnUnknownSectionTheNearest) {
  const ManyKeys many;
  const auto hint = [&](const std::string& topic) {
    const Error error = refusal_of([&] { many.help(topic); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr('"' + topic + '"'));
    return error.hint();
  };
  EXPECT_EQ(hint("smal"), "did you mean small?");
  EXPECT_EQ(hint("key_31"), "key_31 is a key of --help=large_ones");
  EXPECT_EQ(hint("zzzz"), "allowed: all, small, large_ones");
}

TEST(Help, IsAskedForByASectionOnTheCommandLine) {
  ManyKeys many;
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(many.line.parse({"one", "--help=small"}, many.fields));
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), StartsWith("small\n"));
  EXPECT_TRUE(many.line.parse({"one", "--", "--help=small"}, many.fields)) << "a word behind --";
}

TEST(Help, LinesAreBrokenAtSpaces) {
  FieldList list;
  std::string text = "a value of some words that is longer than the line has room for it, surely";
  list.section("words");
  list.add("a_name", text, std::string(30, 'x') + " " + std::string(30, 'y') + " z")
      .needs("many things that nobody has at hand, and more of the same kind of thing",
             [] { return true; });
  const std::string help = CommandLine("verb", "WORD", "Does it.", "fathom verb").help(list);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80u) << line;
    EXPECT_THAT(line, Not(::testing::EndsWith(" ")));
  }
  const std::string further = "\n" + std::string(27, ' ');
  EXPECT_THAT(help, HasSubstr(std::string(30, 'x') + further + std::string(30, 'y') + " z\n"));
}

TEST(Completions, OfKeysValuesAndWords) {
  const ManyKeys many;
  EXPECT_EQ(many.words({}, "o"), "one\tthe first\n");
  EXPECT_EQ(many.words({}, ""), "one\tthe first\ntwo\n");
  EXPECT_EQ(many.words({"one"}, ""), "") << "a file, which shells know";
  EXPECT_THAT(many.words({}, "--key_3"), StartsWith("--key_3=\twhat it is for"));
  EXPECT_EQ(many.words({}, "--key_7=7"), "--key_7=7\n--key_7=77\n");
  EXPECT_EQ(many.words({"--key_7"}, "8"), "8\n");
  EXPECT_EQ(many.words({"--key_7", "7"}, "t"), "two\n") << "its value is no word";
  EXPECT_EQ(many.words({}, "--help=l"), "--help=large_ones\n");
  EXPECT_EQ(many.words({"--"}, "--key_3"), "");
  EXPECT_EQ(many.words({}, "--nothing=x"), "");
}

TEST(Completions, OfSwitchesChoicesAndAliases) {
  testing::Sample sample;
  CommandLine line("verb", "", "Does it.", "fathom verb");
  const auto words = [&](const std::string& current) {
    return line.completions({}, current, sample.fields);
  };
  EXPECT_EQ(words("--fl"), "--flag\ta switch\n--floats=\tnumbers\n");
  EXPECT_EQ(words("--flag="), "--flag=true\n--flag=false\n");
  EXPECT_EQ(words("--colour=g"), "--colour=green\n");
  EXPECT_EQ(words("--num"), "--num_things=\thow many\n");
  EXPECT_EQ(words("--only"), "--only_one\thow many, or None\n") << "a switch";
  EXPECT_EQ(words("--hel"), "--help\twhat the verb does, and its keys\n");
}

// As the completion scripts ask.
TEST(Completions, AreAskedForByTheFirstArgument) {
  ManyKeys many;
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(many.line.parse({"--complete=tw", "--key_7", "7"}, many.fields));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "two\n");
}

TEST(Help, ExplainsMoreWordsAndHasNoTwoEmptyLines) {
  int64_t slot = 1;
  std::vector<std::string> words;
  FieldList named, unnamed;
  named.section("small");
  named.add("key", slot, "what it is for");
  unnamed.add("key", slot, "what it is for");
  CommandLine line("verb", "[PATTERN ...]", "Does it.", "fathom verb one");
  for (const FieldList* list : {&named, &unnamed})
    EXPECT_THAT(line.help(*list), AllOf(HasSubstr("one\n\n"), Not(HasSubstr("\n\n\n"))));
  line.takes_more_words(words, "PATTERN", "of names");
  EXPECT_THAT(line.help(named), HasSubstr("one\n\n  PATTERN        of names\n\nsmall\n"));
  CommandLine with_files("verb", "[CONFIG_FILE ...]", "Does it.", "fathom verb one.toml");
  with_files.takes_config_files();
  EXPECT_THAT(with_files.help(named), HasSubstr("  CONFIG_FILE    TOML, "));
}

TEST(Help, OfAnUnknownKeyTellsTheNearest) {
  double slot = 1;
  FieldList fields;
  fields.add("temperature", slot, "");
  fields.add("num_samples", slot, "");
  CommandLine line("verb", "", "", "");
  const auto hint = [&](const std::string& word) {
    return refusal_of([&] { line.parse({word}, fields); }).hint();
  };
  EXPECT_THAT(hint("--temprature=1"), StartsWith("did you mean --temperature?"));
  EXPECT_THAT(hint("--temp=1"), StartsWith("did you mean --temperature?"));
  EXPECT_THAT(hint("--samples=3"), StartsWith("did you mean --num_samples?"));
  EXPECT_THAT(hint("--hlep"), StartsWith("did you mean --help?"));
  EXPECT_THAT(hint("--zzz"), StartsWith("`fathom verb --help=all`"));
}

}  // namespace
}  // namespace fathom
