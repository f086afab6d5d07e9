// A field that is a word or lists within lists.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/config_testing.h"
#include "fathom/config/config_file.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::refusal_of;

struct TreeSample {
  TreeSample() { list.add("groups", slot, "groups", {"auto"}).at_least(0).at_most(99); }

  std::string given(const std::string& text) {
    list.set_text("groups", text, "--groups");
    return slot.choice + shown_tree(slot.list);
  }

  ChoiceOrTree slot;
  FieldList list;
};

TEST(ChoiceOrTree, TakesWordsListsAndNothing) {
  TreeSample s;
  EXPECT_EQ(s.given("[[1, 2], [3, [4, 5], 6]]"), "[[1, 2], [3, [4, 5], 6]]");
  EXPECT_EQ(s.slot.list[1].list[1].list[0].number, 4);
  EXPECT_TRUE(s.slot.list[1].list[1].is_list);
  EXPECT_FALSE(s.slot.list[1].list[2].is_list);
  EXPECT_EQ(s.given("auto"), "auto[]") << "a list that no longer counts is gone";
  EXPECT_EQ(s.list.find("groups")->value(), "auto");
  EXPECT_EQ(s.given("[]"), "[]");
  EXPECT_EQ(s.given("[[]]"), "[[]]");
  for (const char* none : {"None", "none"}) {
    s.given("auto");
    EXPECT_EQ(s.given(none), "[]");
  }
}

TEST(ChoiceOrTree, WithoutEntriesIsNoneOrNothingWhereThatIsSaid) {
  ChoiceOrTree other, own = {"free", {}};
  FieldList list;
  list.add("other", other, "None: own", {"free"}, EmptyTree::kNone).at_least(0);
  list.add("own", own, "own", {"free"}, EmptyTree::kRefused).at_least(0);
  EXPECT_TRUE(list.find("other")->value().is_null());
  list.set_text("other", "[0, 1]", "--other");
  list.set_text("other", "None", "--other");
  EXPECT_TRUE(list.find("other")->value().is_null());
  for (const char* text : {"[]", "None"})
    EXPECT_THAT(refusal_of([&] { list.set_text("own", text, "--own"); }).what(), HasSubstr("own"));
  EXPECT_THAT(refusal_of([&] { list.set_text("other", "[]", "--other"); }).what(),
              HasSubstr("other"));
  EXPECT_EQ(own.choice, "free");
  FieldList again;
  ChoiceOrTree read = {"free", {}};
  again.add("other", read, "None: own", {"free"}, EmptyTree::kNone);
  ChoiceOrTree rest;
  again.add("own", rest, "own", {"free"});
  read_config_text(to_toml(list), "a.toml", again);
  EXPECT_TRUE(again.find("other")->value().is_null());
}

TEST(ChoiceOrTree, RefusesWhatIsNeitherAndKeepsWhatItHad) {
  TreeSample s;
  s.given("[[1]]");
  for (const char* text : {"automatic", "3", "[[1.5]]", "[['a']]", "[[-1]]", "[[[100]]]", "[true"})
    EXPECT_THAT(refusal_of([&] { s.given(text); }).what(), HasSubstr("groups")) << text;
  EXPECT_EQ(shown_tree(s.slot.list), "[[1]]");
}

TEST(ChoiceOrTree, ComesBackFromTomlAndFromPython) {
  for (const char* text : {"[[1, 2], [3, [4, 5]]]", "[]", "auto"}) {
    TreeSample s, again, python;
    s.given(text);
    read_config_text(to_toml(s.list), "a.toml", again.list);
    EXPECT_EQ(again.list.find("groups")->value(), s.list.find("groups")->value()) << text;
    const std::string literal = s.slot.choice.empty() ? text : "'" + std::string(text) + "'";
    read_config_text("groups = " + literal, "a.py", python.list);
    EXPECT_EQ(python.list.find("groups")->value(), s.list.find("groups")->value()) << text;
  }
}

}  // namespace
}  // namespace fathom
