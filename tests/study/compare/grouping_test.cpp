// Which runs belong together, and what their groups are called.
#include "fathom/study/compare/grouping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fathom {
namespace {

using ::testing::ElementsAre;

RunFacts run(const std::string& experiment, std::map<std::string, std::string> settings) {
  settings.emplace("dataset", "rain");
  return {"r", experiment, std::move(settings)};
}

TEST(Grouping, RunsThatDifferInTheirSeedOnlyAreAGroup) {
  const auto groups = group_runs({run("p", {{"n_layer", "2"}, {"seed", "1"}}),
                                  run("p", {{"n_layer", "4"}, {"seed", "1"}}),
                                  run("p", {{"n_layer", "2"}, {"seed", "2"}})});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_THAT(groups[0].runs, ElementsAre(0, 2));
  EXPECT_THAT(groups[1].runs, ElementsAre(1));
  EXPECT_EQ(groups[0].name, "n_layer = 2");
  EXPECT_EQ(groups[1].name, "n_layer = 4");
  EXPECT_EQ(groups[0].data, groups[1].data) << "layers change no batch";
}

TEST(Grouping, HowOftenARunLogsMakesNoOther) {
  EXPECT_EQ(group_runs({run("p", {{"log_interval", "1"}, {"threads", "2"}}), run("p", {})}).size(),
            1U);
  EXPECT_EQ(
      group_runs({run("p", {{"log_format", "notebook"}, {"sample_interval", "9"}}), run("p", {})})
          .size(),
      1U);
  EXPECT_EQ(group_runs({run("p", {{"eval_interval", "1"}}), run("p", {})}).size(), 2U);
}

TEST(Grouping, NamesPresetsWhereTheyDiffer) {
  const auto groups = group_runs({run("p", {{"a", "1"}}), run("q", {{"a", "1"}, {"b", "2"}}),
                                  run("q", {{"a", "1"}, {"b", "3"}})});
  EXPECT_EQ(groups[0].name, "p");
  EXPECT_EQ(groups[1].name, "q: b = 2");
  EXPECT_EQ(groups[2].name, "q: b = 3");
  EXPECT_EQ(group_runs({run("p", {})})[0].name, "p") << "nothing differs";
}

TEST(Grouping, NamesStayShortAndDifferent) {
  std::map<std::string, std::string> many;
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) many[key] = "1";
  const auto groups = group_runs({run("p", many), run("p", {})});
  EXPECT_EQ(groups[0].name, "a = 1, b = 1, c = 1, d = 1, 2 more");
  RunFacts one = run("p", {{"a", "1"}}), other = run("p", {{"a", "2"}});
  one.label = other.label = "wide";
  const auto labelled = group_runs({one, other});
  EXPECT_EQ(labelled[0].name, "wide");
  EXPECT_EQ(labelled[1].name, "wide (2)");
}

TEST(Grouping, OtherBatchesAreOtherData) {
  EXPECT_NE(data_of(run("p", {{"batch_size", "4"}})), data_of(run("p", {{"batch_size", "8"}})));
  EXPECT_NE(data_of(run("p", {{"block_size", "4"}})), data_of(run("p", {})));
  EXPECT_EQ(data_of(run("p", {{"seed", "4"}})), data_of(run("q", {{"dropout", "0.1"}})));
}

}  // namespace
}  // namespace fathom
