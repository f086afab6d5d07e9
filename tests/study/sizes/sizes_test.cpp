// What follows from sizes: fits, histograms, ranks, alarms, and that all formats can show them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/sizes/size_facts.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double kInfinite = std::numeric_limits<double>::infinity();

TEST(GrowthOfSizes, LinearWhereEachStepAddsTheSame) {
  std::vector<double> sizes;
  for (int d = 0; d <= 12; ++d) sizes.push_back(1.5 + 0.75 * d);
  const Growth g = growth_of(sizes);
  EXPECT_EQ(g.kind, GrowthKind::kLinear);
  EXPECT_NEAR(g.slope, 0.75, 1e-12);
  EXPECT_NEAR(g.r2_linear, 1, 1e-12);
  EXPECT_LT(g.r2_geometric, 0.96);
  EXPECT_NEAR(g.late_ratio, std::pow(10.5 / 7.5, 0.25), 1e-12);
}

TEST(GrowthOfSizes, GeometricWhereEachStepMultiplies) {
  std::vector<double> sizes;
  for (int d = 0; d <= 12; ++d) sizes.push_back(0.95 * std::pow(9, d));
  const Growth g = growth_of(sizes);
  EXPECT_EQ(g.kind, GrowthKind::kGeometric);
  EXPECT_NEAR(g.ratio, 9, 1e-9);
  EXPECT_NEAR(g.r2_geometric, 1, 1e-12);
  EXPECT_NEAR(g.late_ratio, 9, 1e-9);
  EXPECT_STREQ(name_of(g.kind), "geometric");
}

// The sizes that a run of r * A[1](n) + A[0](n) ended with: flat first, five times a layer last.
TEST(GrowthOfSizes, ALateBlowUpIsGeometric) {
  const Growth g = growth_of({2.5294, 2.8569, 2.7836, 3.3479, 5.6398, 15.215, 60.209, 284.38,
                              1445.7, 7582.8, 40300, 216048});
  EXPECT_EQ(g.kind, GrowthKind::kGeometric);
  EXPECT_GT(g.r2_geometric, g.r2_linear);
  EXPECT_NEAR(g.late_ratio, std::cbrt(216048 / 1445.7), 1e-3);
}

TEST(GrowthOfSizes, FlatAndUnknown) {
  EXPECT_EQ(growth_of({1, 1.05, 1.02}).kind, GrowthKind::kFlat);
  const Growth same = growth_of({2, 2, 2});
  EXPECT_EQ(same.kind, GrowthKind::kFlat);
  EXPECT_TRUE(std::isnan(same.r2_linear));
  EXPECT_EQ(growth_of({1, 2}).kind, GrowthKind::kUnknown);
  EXPECT_EQ(growth_of({1, 0, 2}).kind, GrowthKind::kUnknown);
  EXPECT_EQ(growth_of({1, kInfinite, 2}).kind, GrowthKind::kUnknown);
}

TEST(EffectiveRankOfValues, IsTheNumberOfEqualOnes) {
  EXPECT_NEAR(effective_rank({3, 3, 3, 3}), 4, 1e-12);
  EXPECT_NEAR(effective_rank({5, 0, 0}), 1, 1e-12);
  EXPECT_EQ(effective_rank({0, 0}), 0);
  // Shares 3/4 and 1/4.
  EXPECT_NEAR(effective_rank({3, 1}), std::exp(0.75 * std::log(4 / 3.0) + 0.25 * std::log(4)),
              1e-12);
  EXPECT_TRUE(std::isnan(effective_rank({1, kInfinite})));
}

TEST(HistogramOfValues, CountsEachOnce) {
  const Histogram h = whole_histogram({0, 1, 2, 3, 4, 5, 6}, 6);
  EXPECT_EQ(h.low, 0);
  EXPECT_EQ(h.high, 6);
  EXPECT_THAT(h.counts, ElementsAre(1, 1, 1, 1, 1, 2)) << "the last bin has its end too";
  EXPECT_THAT(whole_histogram({7, 7}, 2).counts, ElementsAre(0, 2)) << "6 to 8";
}

TEST(HistogramOfValues, AFewFarOnesAreBeyondItsEnds) {
  std::vector<double> sample;
  for (int i = 0; i < 10000; ++i) sample.push_back(i / 10000.0);
  sample.push_back(1e9);
  sample.push_back(kInfinite);
  Histogram h = robust_histogram(sample, 4);
  EXPECT_NEAR(h.low, 0.001, 1e-3);
  EXPECT_NEAR(h.high, 0.999, 1e-3);
  for (const double value : {-1.0, 0.1, 0.9, 1e9, kInfinite, std::nan("")}) h.add(value);
  EXPECT_THAT(h.counts, ElementsAre(1, 0, 0, 1));
  EXPECT_EQ(h.below, 1);
  EXPECT_EQ(h.above, 2);
  EXPECT_EQ(h.undefined, 1);
}

Size size_like(double rms) {
  return {rms, rms, 3 * rms};
}

// Steps whose carry has these sizes, each adding what makes the next.
SizeFacts facts_of_sizes(const std::vector<double>& sizes) {
  SizeFacts facts;
  facts.run = "grown";
  facts.source = "numbers";
  for (size_t i = 0; i + 1 < sizes.size(); ++i) {
    StepSizes step;
    step.name = std::to_string(i);
    step.before = size_like(sizes[i]);
    step.after = size_like(sizes[i + 1]);
    step.n = size_like(1);
    step.delta = size_like(std::abs(sizes[i + 1] - sizes[i]));
    step.norm_eps = 1e-5;
    facts.steps.push_back(step);
  }
  return facts;
}

std::vector<std::string> kinds_of(const SizeFacts& facts) {
  std::vector<std::string> kinds;
  for (const Alarm& alarm : alarms_of(facts)) kinds.push_back(alarm.kind);
  return kinds;
}

TEST(AlarmsOfSizes, AnOrdinaryCarryRaisesNone) {
  EXPECT_THAT(alarms_of(facts_of_sizes({1, 1.5, 2, 2.5, 3})), IsEmpty());
}

TEST(AlarmsOfSizes, OverflowNamesTheTypeAndTheLayer) {
  SizeFacts facts = facts_of_sizes({1e4, 2e4, 3e4, 4e4});
  const std::vector<Alarm> alarms = alarms_of(facts);
  ASSERT_EQ(alarms.size(), 1U);
  EXPECT_EQ(alarms[0].kind, "overflow");
  EXPECT_THAT(alarms[0].text, AllOf(HasSubstr("layer 1 and 1 later one reaches 1.2e+05"),
                                    HasSubstr("float16 ends at 65504")));
  facts.steps.back().after.largest = kInfinite;
  EXPECT_THAT(kinds_of(facts), ElementsAre("overflow", "overflow", "overflow"));
}

// 2^-24 of 2e7 is 1.2: an update of 1 is lost in float32, one of 2 is not, though in bfloat16.
TEST(AlarmsOfSizes, AbsorptionIsAnUpdateBelowTheCarrysLastBit) {
  const auto texts = [](double added) {
    SizeFacts facts = facts_of_sizes({2e7, 2e7 + added});
    facts.steps[0].before.largest = facts.steps[0].after.largest = 1;
    std::string all;
    for (const Alarm& alarm : alarms_of(facts)) all += alarm.kind + ": " + alarm.text + "\n";
    return all;
  };
  EXPECT_THAT(texts(1), AllOf(HasSubstr("2^-24"), HasSubstr("2^-8"), HasSubstr("float32")));
  EXPECT_THAT(texts(2), AllOf(Not(HasSubstr("2^-24")), HasSubstr("absorption"), HasSubstr("2^-8")));
  EXPECT_EQ(texts(1e5), "") << "2^-8 of 2e7 is 78125";
  SizeFacts same = facts_of_sizes({2, 2, 2});
  EXPECT_THAT(kinds_of(same), ElementsAre("absorption", "absorption")) << "rounding took it all";
  EXPECT_THAT(alarms_of(same)[0].text, HasSubstr("what layer 0 and 1 later one add is less"));
  for (StepSizes& step : same.steps) step.adds = false;
  EXPECT_THAT(kinds_of(same), IsEmpty()) << "a block that adds exactly nothing loses nothing";
}

TEST(AlarmsOfSizes, CollapseIsACarryBelowTheNormsEps) {
  EXPECT_THAT(kinds_of(facts_of_sizes({0.003, 0.006})), ElementsAre("collapse"))
      << "0.003 squared is less than 1e-5";
  EXPECT_THAT(kinds_of(facts_of_sizes({0.004, 0.006})), IsEmpty());
  SizeFacts rms = facts_of_sizes({0.004, 0.006});
  rms.steps[0].before.sd = 0.003;
  EXPECT_THAT(kinds_of(rms), ElementsAre("collapse"));
  rms.steps[0].centred = false;  // whose norm looks at the mean square
  EXPECT_THAT(kinds_of(rms), IsEmpty());
  SizeFacts last = facts_of_sizes({0.006, 0.003});
  EXPECT_THAT(kinds_of(last), IsEmpty()) << "no norm reads what is behind the last layer";
  last.steps[0].read_eps = 1e-5;
  EXPECT_THAT(kinds_of(last), ElementsAre("collapse"));
  EXPECT_THAT(alarms_of(last)[0].text, HasSubstr("the norm of the readout behind layer 0 reads"));
  last.steps[0].read_centred = false;
  last.steps[0].after.rms = 0.006;
  EXPECT_THAT(kinds_of(last), IsEmpty());
}

TEST(AlarmsOfSizes, GrowthIsGeometricAndSteep) {
  EXPECT_THAT(kinds_of(facts_of_sizes({1, 2, 4, 8, 16, 32})), ElementsAre("growth"));
  EXPECT_THAT(kinds_of(facts_of_sizes({1, 1.3, 1.69, 2.197, 2.856})), IsEmpty());
}

TEST(SizesReport, EveryFormatShowsItAndJsonHasEveryNumber) {
  SizeFacts facts = facts_of_sizes({1, 2, 4, 8, 16, 32});
  facts.steps[0].values = {{"a", size_like(0.25)}, {"m", size_like(0.5)}};
  facts.steps[0].histograms = {{"a", whole_histogram({0, 1, 2}, 3)}};
  facts.steps[0].lens = 3.25;
  facts.gradients = {{"attention.0", 12, 0.125}};
  const report::Report report = sizes_report(facts);
  for (const report::Format format : {report::Format::kTerminal, report::Format::kMarkdown,
                                      report::Format::kHtml, report::Format::kSvg})
    EXPECT_FALSE(report::render(report, format, {}).empty());
  EXPECT_THAT(report::render(report, report::Format::kMarkdown, {}),
              AllOf(HasSubstr("ALARM growth"), HasSubstr("geometric"), HasSubstr("attention.0")));
  const auto json = nlohmann::json::parse(report::render(report, report::Format::kJson, {}));
  EXPECT_EQ(json["growth"]["verdict"], "geometric");
  EXPECT_EQ(json["growth"]["ratios"], nlohmann::json({2.0, 2.0, 2.0, 2.0, 2.0}));
  EXPECT_EQ(json["alarms"][0]["kind"], "growth");
  EXPECT_EQ(json["steps"][0]["cross_entropy"], 3.25);
  EXPECT_EQ(json["steps"][1]["cross_entropy"], nullptr) << "not known";
  EXPECT_EQ(json["steps"][0]["histograms"]["a"]["counts"], nlohmann::json({1, 1, 1}));
  EXPECT_EQ(json["part_gradients"][0]["norm"], 0.125);
  facts.steps[0].readout = 3.5;
  facts.steps[0].lost_float32 = 0.25;
  facts.steps[1].after.largest = kInfinite;
  EXPECT_THAT(sizes_csv(facts),
              AllOf(HasSubstr("step,value,rms,sd,largest,cosine,lost_float32,lost_bfloat16,"
                              "effective_rank,cross_entropy,readout_cross_entropy,gradient_norm,"
                              "attention_near_zero,norm_eps,read_eps\n"),
                    HasSubstr("\n0,a,0.25,0.25,0.75,,,,,,,,,,\n"),
                    HasSubstr("\n0,after,2,2,6,,0.25,,,3.25,3.5,,,1e-05,0\n"),
                    HasSubstr("\n1,after,4,4,Infinity,")));
  EXPECT_EQ(size_numbers(facts)["steps"][1]["after"]["largest"], "Infinity");
}

TEST(SizesReport, FitsATerminalOf80Columns) {
  SizeFacts facts = facts_of_sizes({1.234e-5, 0.0012345, 1.2345, 123.45, 12345.6, 1.2345e10});
  for (StepSizes& step : facts.steps) {
    step.values = {{"a", size_like(-1.234e-5)}, {"m", size_like(1.234e-5)}};
    step.cosine = -0.123;
    step.effective_rank = 123.4;
    step.lens = step.readout = 12.3456;
    step.gradient = 1.234e-5;
    step.near_zero = step.lost_float32 = step.lost_bfloat16 = 0.999;
  }
  facts.gradients = {{"attention.0", 123456789, 1.234e-5}};
  report::Report report = sizes_report(facts);
  const std::string text = report::render(report, report::Format::kTerminal, {80, false});
  for (const char* header : {"cosine", "lost in bfloat16", "own loss", "late times", "R^2 geom"})
    EXPECT_THAT(text, HasSubstr(header));
  const size_t tables = text.find("Root mean squares");
  ASSERT_NE(tables, std::string::npos);
  EXPECT_THAT(text.substr(tables), Not(HasSubstr("\u2026"))) << text;
}

}  // namespace
}  // namespace fathom
