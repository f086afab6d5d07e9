// The two types of field that have two faces: a word or a list of numbers, and a switch that may be
// left open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "config/sample_config.h"
#include "fathom/config/config_file.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::Sample;

TEST(ChoiceOrList, AWordFromTheCommandLine) {
  Sample s;
  EXPECT_EQ(s.config.layers.choice, "last");
  s.fields.set_text("layers", "all", "--layers");
  EXPECT_EQ(s.config.layers.choice, "all");
  EXPECT_THAT(s.config.layers.list, IsEmpty());
  EXPECT_EQ(s.fields.find("layers")->value(), "all");
}

TEST(ChoiceOrList, AListFromTheCommandLine) {
  Sample s;
  s.fields.set_text("layers", "[0.5, 1, 2e-3]", "--layers");
  EXPECT_EQ(s.config.layers.choice, "");
  EXPECT_THAT(s.config.layers.list, ElementsAre(0.5, 1.0, 2e-3));
  EXPECT_EQ(s.fields.find("layers")->value(), Value({0.5, 1.0, 2e-3}));
}

TEST(ChoiceOrList, TheLastFormGivenReplacesTheOther) {
  Sample s;
  s.fields.set_text("layers", "[1, 2]", "a");
  s.fields.set_text("layers", "last", "b");
  EXPECT_EQ(s.config.layers.choice, "last");
  EXPECT_THAT(s.config.layers.list, IsEmpty()) << "numbers of a list that no longer counts";
  s.fields.set_text("layers", "[3]", "c");
  EXPECT_EQ(s.config.layers.choice, "");
  EXPECT_THAT(s.config.layers.list, ElementsAre(3.0));
  EXPECT_EQ(s.fields.find("layers")->origin(), "c");
}

TEST(ChoiceOrList, AnEmptyListIsAListAndNoWord) {
  Sample s;
  s.fields.set_text("layers", "[]", "t");
  EXPECT_EQ(s.config.layers.choice, "");
  EXPECT_THAT(s.config.layers.list, IsEmpty());
  EXPECT_EQ(s.fields.find("layers")->value(), Value::array());
}

TEST(ChoiceOrList, ItsTypeNamesBothForms) {
  const Sample s;
  const Field& field = *s.fields.find("layers");
  EXPECT_EQ(field.type(), "last | all | list of float");
  EXPECT_THAT(field.choices(), ElementsAre("last", "all"));
  EXPECT_EQ(field.range(), "0 <= layers");
  EXPECT_FALSE(field.is_text());
  EXPECT_FALSE(field.is_bool());
}

TEST(ChoiceOrList, TomlHasBothForms) {
  Sample s;
  read_config_text("layers = [1, 0.25]\n", "a.toml", s.fields);
  EXPECT_THAT(s.config.layers.list, ElementsAre(1.0, 0.25));
  EXPECT_THAT(to_toml(s.fields), HasSubstr("\nlayers = [1.0, 0.25]\n"));
  read_config_text("[second]\nlayers = \"all\"\n", "a.toml", s.fields);
  EXPECT_EQ(s.config.layers.choice, "all");
  EXPECT_THAT(to_toml(s.fields), HasSubstr("\nlayers = \"all\"\n"));
}

TEST(ChoiceOrList, NanoGptFilesHaveBothForms) {
  Sample s;
  read_config_text("layers = 'all'  # every one\n", "a.py", s.fields);
  EXPECT_EQ(s.config.layers.choice, "all");
  read_config_text("layers = (1, .5)\n", "a.py", s.fields);
  EXPECT_THAT(s.config.layers.list, ElementsAre(1.0, 0.5));
}

// Checkpoints hold a configuration as JSON.
TEST(ChoiceOrList, ValuesOfJsonComeBack) {
  for (const char* text : {"all", "[]", "[0.1, 3, 1e-300]"}) {
    Sample from, to;
    from.fields.set_text("layers", text, "t");
    const Value value = Value::parse(from.fields.find("layers")->value().dump());
    to.fields.set("layers", value, "state.json");
    EXPECT_EQ(to.config.layers.choice, from.config.layers.choice) << text;
    EXPECT_EQ(to.config.layers.list, from.config.layers.list) << text;
  }
}

// What is refused, with a part of what is said about it.
const std::pair<const char*, const char*> kRefusedLayers[] = {
    {"al", "did you mean all?"}, {"chartreuse", "last, all"}, {"All", "did you mean all?"},
    {"", "last, all"},           {"None", "last, all"},       {"3", "last, all"},
    {"last, all", "last, all"},  {"[1, 'x']", "layers"},      {"[[1]]", "layers"},
    {"[None]", "layers"},        {"[True]", "layers"},        {"['all']", "layers"},
    {"[1", "list of float"},     {"[1] 2", "list of float"},  {"[1, -0.5]", "0 <= layers"},
    {"[nan]", "not a number"},   {"[inf]", "0 <= layers"},
};

TEST(ChoiceOrList, RefusalsNameOriginKeyAndWhatIsAllowedAndChangeNothing) {
  for (const auto& [text, said] : kRefusedLayers) {
    for (const char* before : {"all", "[2.5]"}) {
      Sample s;
      s.fields.set_text("layers", before, "first");
      const Value kept = s.fields.find("layers")->value();
      const Error e = refusal_of([&, t = text] { s.fields.set_text("layers", t, "a.toml:3"); });
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
      EXPECT_THAT(e.what(), AllOf(HasSubstr("a.toml:3: layers = "), HasSubstr(said))) << text;
      EXPECT_THAT(e.hint(), HasSubstr("which layers, or a weight for each")) << text;
      EXPECT_EQ(s.fields.find("layers")->value(), kept) << text << " has changed the struct";
      EXPECT_EQ(s.fields.find("layers")->origin(), "first") << text;
    }
  }
}

TEST(OptionalBool, TextsFromTheCommandLine) {
  const std::pair<const char*, std::optional<bool>> cases[] = {
      {"True", true}, {"true", true}, {"1", true},  {"False", false},       {"false", false},
      {"0", false},   {"None", {}},   {"none", {}}, {"null", std::nullopt},
  };
  for (const auto& [text, expected] : cases) {
    Sample s;
    s.config.maybe_flag = expected ? std::optional<bool>() : std::optional<bool>(true);
    s.fields.set_text("maybe-flag", text, "--maybe_flag");
    EXPECT_EQ(s.config.maybe_flag, expected) << text;
  }
}

TEST(OptionalBool, UnsetIsNoneAndNotFalse) {
  Sample s;
  EXPECT_EQ(s.fields.find("maybe_flag")->type(), "bool or None");
  EXPECT_EQ(s.fields.find("maybe_flag")->value(), nullptr);
  EXPECT_THAT(to_toml(s.fields), HasSubstr("\nmaybe_flag = \"none\"\n"));
  s.config.maybe_flag = false;
  EXPECT_EQ(s.fields.find("maybe_flag")->value(), false);
  EXPECT_THAT(to_toml(s.fields), HasSubstr("\nmaybe_flag = false\n"));
}

TEST(OptionalBool, TomlNanoGptFilesAndJson) {
  Sample s;
  read_config_text("maybe_flag = true\n", "a.toml", s.fields);
  EXPECT_EQ(s.config.maybe_flag, true);
  read_config_text("maybe_flag = \"none\"\n", "a.toml", s.fields);
  EXPECT_EQ(s.config.maybe_flag, std::nullopt);
  read_config_text("maybe_flag = False\n", "a.py", s.fields);
  EXPECT_EQ(s.config.maybe_flag, false);
  for (const char* json : {"true", "false", "null"}) {
    s.fields.set("maybe_flag", Value::parse(json), "state.json");
    EXPECT_EQ(s.fields.find("maybe_flag")->value().dump(), json);
  }
}

TEST(OptionalBool, RefusalsNameOriginKeyAndType) {
  for (const char* text : {"maybe", "2", "0.5", "[True]", "'True'", ""}) {
    Sample s;
    s.config.maybe_flag = true;
    const Error e = refusal_of([&] { s.fields.set_text("maybe_flag", text, "--maybe_flag"); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
    EXPECT_THAT(e.what(),
                AllOf(HasSubstr("--maybe_flag: maybe_flag = "), HasSubstr("true, false or None")))
        << text;
    EXPECT_EQ(s.config.maybe_flag, true) << text;
  }
}

}  // namespace
}  // namespace fathom
