// Groups of runs side by side.
#include "fathom/study/compare/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "errors.h"
#include "fathom/report/render.h"
#include "fathom/study/compare/comparison_report.h"
#include "fathom/study/compare/student.h"

namespace fathom {
namespace {

using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Evaluated every 100 of 400.
ComparedRun run(const std::string& name, const std::string& seed, std::vector<double> losses) {
  ComparedRun out{name, seed, {}};
  for (size_t i = 0; i < losses.size(); ++i) out.curve.x.push_back(100.0 * static_cast<double>(i));
  out.curve.y = std::move(losses);
  return out;
}

// Two groups of three seeds: b ends lower, and begins slower.
std::vector<ComparedGroup> two_groups() {
  return {{"a",
           "same",
           {run("a1", "1", {4, 3.0, 2.6, 2.4, 2.30}), run("a2", "2", {4, 3.1, 2.7, 2.5, 2.42}),
            run("a3", "3", {4, 3.2, 2.8, 2.6, 2.51})}},
          {"b",
           "same",
           {run("b3", "3", {4, 3.5, 2.9, 2.5, 2.40}), run("b1", "1", {4, 3.3, 2.7, 2.3, 2.21}),
            run("b2", "2", {4, 3.4, 2.8, 2.4, 2.31})}}};
}

const Measure& of(const Comparison& c, Measure::Kind kind) {
  for (const Measure& m : c.measures)
    if (m.kind == kind) return m;
  ADD_FAILURE() << "no such measure";
  return c.measures.front();
}

TEST(Comparison, TellsEarlySpeedAndFinalLossApart) {
  ComparisonOptions o;
  o.early = 0.25;
  const Comparison c = compare(two_groups(), o);
  EXPECT_EQ(c.end, 400);
  const Measure& early = of(c, Measure::Kind::kEarly);
  EXPECT_EQ(early.budget, 100);
  EXPECT_NEAR(early.groups[1].difference.difference, 0.3, 1e-12);
  EXPECT_EQ(early.groups[1].finding, Finding::kNoTest) << "all pairs differ by 0.3 exactly";
  const Measure& final = of(c, Measure::Kind::kFinal);
  EXPECT_NEAR(final.groups[1].difference.difference, -0.31 / 3, 1e-12);
  EXPECT_EQ(final.groups[1].finding, Finding::kBetter);
  const Measure& reached = of(c, Measure::Kind::kReached);
  EXPECT_EQ(reached.budget, 3.5) << "what all have reached after a quarter";
  EXPECT_EQ(reached.groups[1].values[0], 100);
  EXPECT_EQ(reached.groups[0].values[0], 50);
  EXPECT_GT(reached.groups[1].difference.difference, 0);
}

// Names of settings are as long as these are.
TEST(Comparison, TellsItsGroupsApartWhereItIsNarrow) {
  ComparisonFacts facts;
  facts.metric = "eval/val/loss";
  facts.groups = two_groups();
  facts.groups[0].name = "residual_dropout = 0.0";
  facts.groups[1].name = "residual_dropout = 0.1";
  facts.by.push_back({"steps", compare(facts.groups, facts.options)});
  const std::string shown = report::render_terminal(comparison_report(facts), {80, false});
  const std::string tables = shown.substr(0, shown.find("by steps"));
  EXPECT_THAT(tables, Not(::testing::ContainsRegex("residual[_a-z]*…")));
}

TEST(Comparison, OfRunsWithThemselvesIsZero) {
  const ComparedGroup a = two_groups()[0];
  ComparedGroup again = a;
  again.name = "again";
  const Comparison c = compare({a, again}, {});
  ASSERT_EQ(c.measures.size(), 3U);
  for (const Measure& m : c.measures) {
    EXPECT_EQ(m.groups[1].difference.difference, 0);
    EXPECT_EQ(m.groups[1].values, m.groups[0].values);
    EXPECT_TRUE(m.groups[1].finding == Finding::kNoTest ||
                m.groups[1].finding == Finding::kNotDistinguishable);
  }
  EXPECT_EQ(c.bands[1].mean, c.bands[0].mean);
}

TEST(Comparison, PairsRunsOfTheSameSeedThatSawTheSameData) {
  std::vector<ComparedGroup> groups = two_groups();
  const auto test_of = [&] { return compare(groups, {}).measures.back().groups[1].difference; };
  EXPECT_EQ(test_of().test, TestKind::kPaired);
  EXPECT_EQ(test_of().df, 2);
  groups[1].data = "other";
  EXPECT_EQ(test_of().test, TestKind::kWelch) << "other batches: no pairs";
  groups[1].data = "same";
  groups[1].runs[0].seed = "4";
  EXPECT_EQ(test_of().test, TestKind::kWelch) << "another seed";
  groups[1].runs[0].seed = "1";
  EXPECT_EQ(test_of().test, TestKind::kWelch) << "a seed twice";
  groups[1].runs.pop_back();
  groups[1].runs[0].seed = "3";
  EXPECT_EQ(test_of().test, TestKind::kWelch) << "a seed is missing";
  groups[1].runs.resize(1);
  EXPECT_EQ(test_of().test, TestKind::kNone);
}

TEST(Comparison, IsMadeAtTheBudgetThatAllHaveUsed) {
  std::vector<ComparedGroup> groups = two_groups();
  groups[0].runs[1].curve.x = {0, 100, 200, 300, 350};
  const Comparison c = compare(groups, {});
  EXPECT_EQ(c.end, 350);
  EXPECT_NEAR(of(c, Measure::Kind::kFinal).groups[0].values[0], (2.4 + 2.3) / 2, 1e-12);
  EXPECT_EQ(c.bands[0].x.back(), 350);
}

TEST(Comparison, CanTakeTheMeanOfTheLastEvaluations) {
  ComparisonOptions o;
  o.last = 2;
  EXPECT_NEAR(of(compare(two_groups(), o), Measure::Kind::kFinal).groups[0].values[0], 2.35, 1e-12);
}

TEST(Comparison, ReachesTheLevelThatIsAskedForOrSaysWhoDoesNot) {
  ComparisonOptions o;
  o.level = 2.6;
  const Measure reached = of(compare(two_groups(), o), Measure::Kind::kReached);
  EXPECT_THAT(reached.groups[0].values, ElementsAre(200, 250, 300));
  o.level = 2.35;
  const Error e = caught([&] { compare(two_groups(), o); });
  EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  EXPECT_THAT(e.what(), HasSubstr("a2 does not reach the level 2.35"));
  EXPECT_THAT(e.hint(), HasSubstr("all runs reach 2.51"));
}

TEST(Comparison, SaysWhereEarlyCannotBeTold) {
  std::vector<ComparedGroup> groups = two_groups();
  for (ComparedGroup& group : groups)
    for (ComparedRun& r : group.runs) r.curve = {{0, 400}, {4, r.curve.y.back()}};
  const Comparison c = compare(groups, {});
  EXPECT_EQ(c.measures.size(), 1U);
  EXPECT_THAT(c.notices.front(), HasSubstr("too seldom"));
}

TEST(Comparison, HasABandOfEachGroupsMean) {
  const Comparison c = compare(two_groups(), {});
  EXPECT_THAT(c.bands[0].x, ElementsAre(0, 100, 200, 300, 400));
  EXPECT_NEAR(c.bands[0].mean[1], 3.1, 1e-12);
  const double reach = student_quantile(0.975, 2) * 0.1 / std::sqrt(3.0);
  EXPECT_NEAR(c.bands[0].high[1] - 3.1, reach, 1e-12);
  EXPECT_NEAR(3.1 - c.bands[0].low[1], reach, 1e-12);
  std::vector<ComparedGroup> single = two_groups();
  single[0].runs.resize(1);
  EXPECT_TRUE(compare(single, {}).bands[0].low.empty()) << "one run has no band";
}

TEST(Comparison, TakesMoreForBetterWhereThatIsSaid) {
  ComparisonOptions o;
  o.lower_is_better = false;
  EXPECT_EQ(of(compare(two_groups(), o), Measure::Kind::kFinal).groups[1].finding, Finding::kWorse);
}

TEST(Comparison, MeasuresFromTheGroupThatIsAskedFor) {
  ComparisonOptions o;
  o.baseline = 1;
  const Measure final = of(compare(two_groups(), o), Measure::Kind::kFinal);
  EXPECT_EQ(final.groups[1].finding, Finding::kBaseline);
  EXPECT_EQ(final.groups[0].finding, Finding::kWorse);
}

TEST(Comparison, NeedsABudgetInCommon) {
  std::vector<ComparedGroup> groups = two_groups();
  groups[1].runs[0].curve = {{500, 600}, {3, 2}};
  EXPECT_THAT(caught([&] { compare(groups, {}); }).what(), HasSubstr("no budget in common"));
}

TEST(Comparison, OfARunThatDivergedIsNoTest) {
  std::vector<ComparedGroup> groups = two_groups();
  groups[1].runs[0].curve.y.back() = NAN;
  const GroupResult result = of(compare(groups, {}), Measure::Kind::kFinal).groups[1];
  EXPECT_EQ(result.finding, Finding::kNoTest);
  EXPECT_THAT(result.difference.why_none, HasSubstr("no finite value"));
}

}  // namespace
}  // namespace fathom
