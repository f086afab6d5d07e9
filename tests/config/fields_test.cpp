// The field list: what a value may be, where it goes, and what is said when it may not.
#include "fathom/config/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "config/config_testing.h"
#include "config/sample_config.h"

namespace fathom {
namespace {

using testing::Colour;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::Sample;
using ::testing::SizeIs;

TEST(Fields, TextsFromTheCommandLineReachTheStruct) {
  Sample s;
  for (const auto& [key, text] :
       std::vector<std::pair<std::string, std::string>>{{"flag", "True"},
                                                        {"count", "12"},
                                                        {"rate", "1e-3"},
                                                        {"text", "[1, 'as it is"},
                                                        {"maybe_count", "4"},
                                                        {"maybe_rate", "2"},
                                                        {"ints", "[1, -2]"},
                                                        {"floats", "(1, 2.5)"},
                                                        {"groups", "[[1,2],[3]]"},
                                                        {"colour", "green"}})
    s.fields.set_text(key, text, "--" + key);
  EXPECT_TRUE(s.config.flag);
  EXPECT_EQ(s.config.count, 12);
  EXPECT_EQ(s.config.rate, 1e-3);
  EXPECT_EQ(s.config.text, "[1, 'as it is");
  EXPECT_EQ(s.config.maybe_count, 4);
  EXPECT_EQ(s.config.maybe_rate, 2.0);
  EXPECT_THAT(s.config.ints, ElementsAre(1, -2));
  EXPECT_THAT(s.config.floats, ElementsAre(1.0, 2.5));
  EXPECT_THAT(s.config.groups, ElementsAre(ElementsAre(1, 2), ElementsAre(3)));
  EXPECT_EQ(s.config.colour, Colour::kGreen);
}

TEST(Fields, ValuesComeBackAsTheyAre) {
  Sample s;
  s.config.ints = {7, 8};
  s.config.colour = Colour::kNone;
  EXPECT_EQ(s.fields.find("count")->value(), 3);
  EXPECT_EQ(s.fields.find("maybe_rate")->value(), nullptr);
  EXPECT_EQ(s.fields.find("ints")->value(), Value({7, 8}));
  EXPECT_EQ(s.fields.find("colour")->value(), "none");
}

TEST(Fields, NoneEmptiesWhatMayBeEmpty) {
  Sample s;
  s.config.maybe_count = 1;
  s.config.maybe_rate = 1;
  for (const char* key : {"maybe_count", "maybe_rate", "ints"}) s.fields.set_text(key, "None", "t");
  EXPECT_FALSE(s.config.maybe_count);
  EXPECT_FALSE(s.config.maybe_rate);
  EXPECT_TRUE(s.config.ints.empty());
  s.fields.set("colour", nullptr, "t");
  EXPECT_EQ(s.config.colour, Colour::kNone);
  s.fields.set_text("text", "None", "t");
  EXPECT_EQ(s.config.text, "None") << "a text may be the word";
}

TEST(Fields, WholeFloatsAreIntegersAndZeroAndOneAreSwitches) {
  Sample s;
  s.fields.set_text("count", "1e2", "t");
  EXPECT_EQ(s.config.count, 100);
  s.fields.set_text("flag", "1", "t");
  EXPECT_TRUE(s.config.flag);
  s.fields.set_text("flag", "0", "t");
  EXPECT_FALSE(s.config.flag);
}

TEST(Fields, DashesUnderscoresAndAliasesAreOneKey) {
  Sample s;
  s.fields.set_text("num-things", "4", "t");
  EXPECT_EQ(s.config.count, 4);
  s.fields.set_text("maybe-count", "5", "t");
  EXPECT_EQ(s.config.maybe_count, 5);
  EXPECT_EQ(s.fields.find("num_things"), s.fields.find("count"));
  EXPECT_EQ(s.fields.find("things"), nullptr);
}

struct Refused {
  const char* key;
  const char* text;
  const char* allowed;  // what the message says about it
};

TEST(Fields, EveryRefusalNamesOriginKeyValueAndWhatIsAllowed) {
  const Refused cases[] = {
      {"flag", "maybe", "allowed: true or false"},
      {"flag", "2", "allowed: true or false"},
      {"flag", "None", "allowed: true or false"},
      {"flag", "[True]", "allowed: true or false"},
      {"count", "x", "int"},
      {"count", "1.5", "int"},
      {"count", "'3'", "int"},
      {"count", "None", "int"},
      {"count", "true", "int"},
      {"count", "[3]", "int"},
      {"count", "1e3x", "int"},
      {"count", "0", "1 <= count <= 1000"},
      {"count", "1001", "1 <= count <= 1000"},
      {"count", "-9223372036854775808", "1 <= count <= 1000"},
      {"rate", "0", "0 < rate < 1"},
      {"rate", "1", "0 < rate < 1"},
      {"rate", "-inf", "0 < rate < 1"},
      {"rate", "nan", "not a number"},
      {"rate", "fast", "float"},
      {"rate", "True", "float"},
      {"maybe_count", "-1", "0 <= maybe_count"},
      {"maybe_count", "x", "int or None"},
      {"maybe_count", "1e300", "int or None"},
      {"maybe_rate", "inf", "finite"},
      {"maybe_rate", "nan", "not a number"},
      {"maybe_rate", "x", "float or None"},
      {"ints", "3", "list of int, as [3]"},
      {"ints", "[1.5]", "list of int"},
      {"ints", "[[1]]", "list of int"},
      {"ints", "[1, -6]", "-5 <= ints"},
      {"floats", "[1, 'x']", "list of float"},
      {"floats", "[1, nan]", "not a number"},
      {"groups", "[1]", "list of lists of int"},
      {"groups", "[[1], 2]", "list of lists of int"},
      {"groups", "[[1], [-2]]", "0 <= groups"},
      {"groups", "[[1]", "list of lists of int"},
      {"colour", "gren", "did you mean green"},
      {"colour", "chartreuse", "red, green, none"},
      {"colour", "", "red, green, none"},
  };
  for (const Refused& c : cases) {
    Sample s;
    const Value before = s.fields.find(c.key)->value();
    const Error e = refusal_of([&] { s.fields.set_text(c.key, c.text, "a.toml:3"); });
    const std::string said = std::string(c.key) + " = " + c.text;
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << said;
    EXPECT_EQ(std::string(e.what()).rfind("a.toml:3: ", 0), 0u) << said << ": " << e.what();
    EXPECT_THAT(std::string(e.what()), HasSubstr(c.key)) << said;
    EXPECT_THAT(std::string(e.what()), HasSubstr(c.allowed)) << said;
    EXPECT_EQ(s.fields.find(c.key)->value(), before) << said << " has changed the struct";
    EXPECT_FALSE(s.fields.given(c.key)) << said;
  }
}

TEST(Fields, TextsAreUtf8) {
  Sample s;
  const Error e = refusal_of([&] { s.fields.set_text("text", "a\xFF", "--text"); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("UTF-8"));
  EXPECT_EQ(s.config.text, "plain");
  EXPECT_THAT(refusal_of([&] { s.fields.set_text("colour", "r\xFF", "t"); }).what(),
              HasSubstr(R"(r\xff)"));
}

TEST(Fields, BoundsAreWhatTheRangeSays) {
  Sample s;
  EXPECT_EQ(s.fields.find("count")->range(), "1 <= count <= 1000");
  EXPECT_EQ(s.fields.find("rate")->range(), "0 < rate < 1");
  EXPECT_EQ(s.fields.find("ints")->range(), "-5 <= ints");
  EXPECT_EQ(s.fields.find("floats")->range(), "");
  for (const char* text : {"1", "1000"}) s.fields.set_text("count", text, "t");
  s.fields.set_text("ints", "[-5]", "t");
  s.fields.set_text("rate", "0.999999", "t");
}

TEST(Fields, UnknownKeysAreRefusedWithTheNearest) {
  Sample s;
  const Error near = refusal_of([&] { s.fields.set_text("maybe_cuont", "1", "--maybe_cuont"); });
  EXPECT_EQ(near.kind(), ErrorKind::kUsage);
  EXPECT_THAT(near.what(), HasSubstr("maybe_cuont"));
  EXPECT_THAT(near.hint(), HasSubstr("maybe_count"));
  EXPECT_THAT(refusal_of([&] { s.fields.set_text("num_thing", "1", "t"); }).hint(),
              HasSubstr("num_things"));
  const Error far = refusal_of([&] { s.fields.set("zzzzz", 1, "b.toml:9"); });
  EXPECT_THAT(far.what(), HasSubstr("b.toml:9"));
  EXPECT_THAT(far.hint(), HasSubstr("--help"));
}

TEST(Fields, IgnoredKeysAreTakenAndSaid) {
  Sample s;
  s.fields.set_text("compile", "False", "--compile");
  ASSERT_EQ(s.fields.notices().size(), 1u);
  EXPECT_THAT(s.fields.notices()[0], HasSubstr("compile"));
  EXPECT_THAT(s.fields.notices()[0], HasSubstr("nothing is left to compile"));
  EXPECT_FALSE(s.fields.given("compile"));
}

TEST(Fields, GivenKnowsWhatWasSetAndNotWhatAPresetChanged) {
  Sample s;
  s.config.count = 9;
  EXPECT_FALSE(s.fields.given("count"));
  s.fields.set_text("num_things", "9", "--num_things");
  EXPECT_TRUE(s.fields.given("count"));
  EXPECT_TRUE(s.fields.given("num-things"));
  EXPECT_FALSE(s.fields.given("rate"));
  EXPECT_FALSE(s.fields.given("no_such_key"));
  EXPECT_EQ(s.fields.find("count")->origin(), "--num_things");
}

TEST(Fields, ChangesKnowsWhatIsAnotherValueThanBefore) {
  Sample s;
  s.config.count = 9;
  EXPECT_FALSE(s.fields.changes("count"));
  s.fields.set_text("count", "9", "--count");
  EXPECT_FALSE(s.fields.changes("count"));
  s.fields.set_text("count", "8", "--count");
  EXPECT_TRUE(s.fields.changes("count"));
  s.fields.set_text("count", "9", "--count");
  EXPECT_FALSE(s.fields.changes("count")) << "there and back";
  EXPECT_FALSE(s.fields.changes("no_such_key"));
}

TEST(Fields, TheLastValueWins) {
  Sample s;
  s.fields.set_text("count", "4", "a");
  s.fields.set_text("count", "5", "b");
  EXPECT_EQ(s.config.count, 5);
  EXPECT_EQ(s.fields.find("count")->origin(), "b");
  EXPECT_ANY_THROW(s.fields.set_text("count", "0", "c"));
  EXPECT_EQ(s.config.count, 5);
  EXPECT_EQ(s.fields.find("count")->origin(), "b");
}

struct Plan {
  bool on = false;
  int64_t speed = 3;
  std::optional<int64_t> pause;
  IntList stops;
  std::string name;
};

void add_fields(FieldList& list, Plan& p) {
  list.section("plan");
  list.add("on", p.on, "a switch");
  list.add("speed", p.speed, "how fast")
      .needs("on = true", [&p] { return p.on; })
      .needs("a name", [&p] { return !p.name.empty(); });
  list.add("pause", p.pause, "how long").needs("on = true", [&p] { return p.on; });
  list.add("stops", p.stops, "where").needs("on = true", [&p] { return p.on; });
  list.add("name", p.name, "of the plan");
}

using Given = std::vector<std::pair<std::string, std::string>>;

std::vector<std::string> in_vain(const Given& typed, const Given& in_a_file = {}) {
  Plan plan;
  FieldList list;
  add_fields(list, plan);
  for (const auto& [key, text] : in_a_file) list.set_text(key, text, "a.toml:1");
  for (const auto& [key, text] : typed) list.set_text(key, text, "--" + key);
  return without_effect(list);
}

TEST(Needs, AKeyThatWasGivenInVainIsToldWithWhatItNeeds) {
  EXPECT_THAT(in_vain({}), IsEmpty()) << "nothing was given";
  EXPECT_THAT(in_vain({{"speed", "5"}}),
              ElementsAre("speed = 5 has no effect: it needs on = true"));
  EXPECT_THAT(in_vain({{"on", "true"}, {"speed", "5"}}),
              ElementsAre("speed = 5 has no effect: it needs a name"))
      << "all of what it needs must hold";
  EXPECT_THAT(in_vain({{"speed", "5"}, {"on", "true"}, {"name", "x"}}), IsEmpty())
      << "whatever was given first";
  EXPECT_THAT(in_vain({{"speed", "3"}}), SizeIs(1)) << "typed, though it is what stood there";
}

TEST(Needs, NoneAndWhatAFileRepeatsAreNotTold) {
  EXPECT_THAT(in_vain({{"pause", "None"}, {"stops", "[]"}}), IsEmpty());
  EXPECT_THAT(in_vain({}, {{"speed", "3"}}), IsEmpty()) << "a complete config.toml has every key";
  EXPECT_THAT(in_vain({}, {{"speed", "4"}}), SizeIs(1));
  EXPECT_THAT(in_vain({}, {{"speed", "4"}, {"speed", "3"}}), IsEmpty());
}

TEST(Needs, AreListed) {
  Plan plan;
  FieldList list;
  add_fields(list, plan);
  EXPECT_THAT(list.find("speed")->needed(), ElementsAre("on = true", "a name"));
  EXPECT_THAT(list.find("on")->needed(), IsEmpty());
}

TEST(Fields, AreTakenFromAnotherListUnderAnotherSection) {
  Plan plan;
  FieldList all, some;
  add_fields(all, plan);
  some.section("other");
  some.take(all, {"speed"});
  ASSERT_EQ(some.all().size(), 1u);
  EXPECT_EQ(some.find("speed")->section(), "other");
  some.set_text("speed", "7", "--speed");
  EXPECT_EQ(all.find("speed")->value(), 7) << "it is the same slot";
  EXPECT_FALSE(all.given("speed"));
  EXPECT_THAT(without_effect(some), SizeIs(1)) << "it needs what it needed";
  EXPECT_ANY_THROW(some.take(all, {"nothing"}));
}

}  // namespace
}  // namespace fathom
