#include "fathom/model/spec/architecture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fathom/train/recipe/registry.h"
#include "recipe/config_testing.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::refusal_of;

// A run's fields, with the setting of an experiment "idea" among them.
void check(const char* name, int64_t value) {
  const auto architecture = std::make_shared<Architecture>();
  architecture->name = "idea";
  architecture->add_fields = [=](FieldList& list, OwnSettings& own) {
    list.add(name, own.integer(name, value), "").at_least(1).at_most(5);
  };
  RunConfig config;
  config.model.architecture = architecture;
  FieldList list;
  add_fields(list, config);
  check_own_settings(list, *architecture);
}

TEST(OwnSettings, HaveNamesOfTheirOwnAndValuesInRange) {
  EXPECT_NO_THROW(check("depth_of_idea", 3));
  for (const char* name : {"n_layer", "lr", "num_blocks", "compile", "preset", "architecture",
                           "my-key", "Key", "a key", ""}) {
    const Error e = refusal_of([&] { check(name, 3); });
    EXPECT_THAT(e.what(), AllOf(HasSubstr("the experiment idea"), HasSubstr(name)));
    EXPECT_THAT(e.hint(), HasSubstr("presets.cpp"));
  }
  EXPECT_THAT(refusal_of([&] { check("many", 9); }).what(), HasSubstr("out of range"));
}

TEST(OwnSettings, AreReadByTheWordTheyWereMadeWith) {
  OwnSettings own;
  own.number("share", 0.5) = 0.25;
  EXPECT_EQ(own.number("share", 7), 0.25) << "a slot keeps its value";
  const OwnSettings& read = own;
  EXPECT_EQ(read.number("share"), 0.25);
  EXPECT_THAT(refusal_of([&] { read.integer("share"); }).what(),
              AllOf(HasSubstr("share"), HasSubstr("integer")));
  own.text("form", "soft") = "hard";
  EXPECT_EQ(read.text("form"), "hard");
  EXPECT_EQ(own.text("form", "soft"), "hard");
  EXPECT_THAT(refusal_of([&] { read.text("share"); }).what(),
              AllOf(HasSubstr("share"), HasSubstr("text")));
}

// One of some words, or any text: typed, told and checked as the fields of fathom's own.
TEST(OwnSettings, MayBeTexts) {
  const auto architecture = std::make_shared<Architecture>();
  architecture->name = "idea";
  std::string choice = "soft";
  architecture->add_fields = [&](FieldList& list, OwnSettings& own) {
    list.add<std::string>("form_of_idea", own.text("form_of_idea", choice), "",
                          {{"soft", "soft"}, {"hard", "hard"}});
    list.add("words_of_idea", own.text("words_of_idea", "add, multiply"), "");
  };
  RunConfig config;
  config.model.architecture = architecture;
  FieldList list;
  add_fields(list, config);
  EXPECT_NO_THROW(check_own_settings(list, *architecture));
  list.set_text("form_of_idea", "hard", "--form_of_idea");
  list.set_text("words_of_idea", "[1, 2", "--words_of_idea");
  EXPECT_EQ(config.model.own.text("form_of_idea"), "hard");
  EXPECT_EQ(config.model.own.text("words_of_idea"), "[1, 2");
  EXPECT_EQ(list.find("form_of_idea")->type(), "soft | hard");
  EXPECT_THAT(refusal_of([&] { list.set_text("form_of_idea", "sofd", "--form_of_idea"); }).what(),
              AllOf(HasSubstr("form_of_idea"), HasSubstr("soft")));
  // A value of its own that is none of the choices.
  choice = "other";
  RunConfig wrong;
  wrong.model.architecture = architecture;
  FieldList of_wrong;
  add_fields(of_wrong, wrong);
  EXPECT_THAT(refusal_of([&] { check_own_settings(of_wrong, *architecture); }).what(),
              HasSubstr("form_of_idea"));
}

// What an experiment adds is in the table, counted, and named by nobody else.
TEST(Architecture, AddsParametersOfItsOwn) {
  RunConfig config = preset_config("test_runner");
  const size_t before = parameter_table(config.model, 50).size();
  const double flops = flops_per_token(config.model, 50, 8).forward();
  const auto architecture = std::make_shared<Architecture>();
  architecture->name = "idea";
  std::string name = "idea.weight";
  architecture->add_parameters = [&](const ModelConfig&, const DepthPlan&, int64_t V) {
    return std::vector<ParameterSpec>{{name, {V, 3}, Part::kMlp, zeros_init()}};
  };
  config.model.architecture = architecture;
  const auto table = parameter_table(config.model, 50);
  ASSERT_EQ(table.size(), before + 1);
  EXPECT_EQ(table.back().part, Part::kOwn);
  EXPECT_EQ(flops_per_token(config.model, 50, 8).forward(), flops + 2 * 50 * 3);
  name = table.front().name;
  EXPECT_THAT(refusal_of([&] { parameter_table(config.model, 50); }).what(),
              AllOf(HasSubstr("idea"), HasSubstr(name)));
}

}  // namespace
}  // namespace fathom
