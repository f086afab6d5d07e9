// What is said of loops and depths, and that all formats can say it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fathom/report/render.h"
#include "fathom/study/loops/box_counting.h"
#include "fathom/study/loops/depth_table.h"
#include "fathom/study/loops/loop_facts.h"
#include "fathom/study/loops/loop_pictures.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Two groups that run 20 times, over a text of 3 tokens.
LoopFacts spiral_facts() {
  LoopFacts facts;
  facts.run = "spiral";
  facts.source = "a given text";
  facts.groups = {"layer 1", "layers 2-3"};
  facts.count = 20;
  facts.trained = 8;
  facts.components = 3;
  TextLoops text;
  text.tokens = {"a", "say, \"b\"", "c"};
  for (int g = 0; g < 2; ++g) {
    GroupLoops group;
    for (int k = 0; k <= 20; ++k) {
      DenseMatrix x(3, 4);
      for (size_t t = 0; t < 3; ++t) {
        const double angle = 0.5 * k + double(t), radius = 1 + std::pow(0.8, k) + g;
        x.at(t, 0) = radius * std::cos(angle);
        x.at(t, 1) = radius * std::sin(angle);
        x.at(t, 2) = double(t);
      }
      group.states.push_back(x);
    }
    group.convergence = convergence_of(group.states);
    for (size_t k = 0; k < 20; ++k) group.convergence.drift[k] = std::pow(0.5, double(k));
    text.groups.push_back(group);
  }
  // As if the first group were the whole walk.
  for (size_t k = 0; k < 20; ++k) text.walk.push_back({1, {int64_t(k) + 1}});
  text.global = text.groups[0].convergence;
  facts.texts = {text};
  analyse(facts);
  return facts;
}

TEST(LoopsReport, ShowsEveryPartThatIsKnown) {
  LoopFacts facts = spiral_facts();
  facts.jacobians = {{0, 5, 2, 0.75, 1.25}, {0, 5, 1, 0.25, 0.75}};
  facts.spreads = {{5, 0.125, 0.0625, 0.03125}};
  facts.exits = {{"5 loops", 5, {}, {1.5, 1.75}, 5, 1, 2.5},
                 {"kl 0.01", {}, 0.01, {1.625, 1.625}, 3.5, 0.75, 2}};
  facts.weights = {{"mlp.0.up.weight", 16, 4, 3.5}};
  for (const auto format :
       {report::Format::kTerminal, report::Format::kMarkdown, report::Format::kHtml}) {
    const std::string text = report::render(loops_report(facts), format, {});
    EXPECT_THAT(text, AllOf(HasSubstr("trained with up to 8"), HasSubstr("the loop of layers 2-3"),
                            HasSubstr("spectral radius"), HasSubstr("0.0625"),
                            HasSubstr("mlp.0.up.weight"), HasSubstr("16 x 4")));
    EXPECT_THAT(text, HasSubstr("--noise gives them"));
  }
  const json values = loops_report(facts).values;
  EXPECT_EQ(values["exits"][1]["threshold"], 0.01);
  EXPECT_EQ(values["exits"][0]["loops"], 5);
  EXPECT_EQ(values["spreads"][0]["kl"], 0.03125);
  EXPECT_EQ(values["jacobians"].size(), 2U);
  EXPECT_EQ(values["trajectories"].size(), 2U);
  EXPECT_EQ(values["trajectories"][1].size(), 3U) << "a token each";
  EXPECT_EQ(values["trajectories"][1][0].size(), 20U) << "an iteration each";
  EXPECT_EQ(values["groups"][0]["drift_to_loop"].size(), 1U);
  EXPECT_TRUE(values["texts"][0]["groups"][0]["cosine"][0].is_null());
}

TEST(LoopsReport, AGroupWithinAnotherIsNotHandedOver) {
  LoopFacts facts = spiral_facts();
  EXPECT_EQ(facts.shapes[0].drift.size(), 1U);
  facts.outer = {true, false};
  analyse(facts);
  EXPECT_TRUE(facts.shapes[0].drift.empty());
  EXPECT_EQ(facts.shapes[0].boxes.size(), 3U);
}

TEST(LoopsReport, SaysNothingOfWhatWasNotAsked) {
  const std::string text = report::render(loops_report(spiral_facts()), report::Format::kMarkdown);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("Jacobian")), Not(HasSubstr("Path independence")),
                          Not(HasSubstr("ms/token")), Not(HasSubstr("singular"))));
}

TEST(LoopsReport, TablesShowTheFirstTheRoundAndTheLastIterations) {
  EXPECT_THAT(shown_iterations(4), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(shown_iterations(32), ElementsAre(1, 2, 3, 5, 10, 15, 20, 25, 30, 32));
  EXPECT_TRUE(shown_iterations(0).empty());
}

TEST(LoopsReport, TrajectoriesAreALineATokenAndIteration) {
  const LoopFacts facts = spiral_facts();
  const std::string csv = trajectories_csv(facts);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 21 * 3);
  EXPECT_THAT(csv, AllOf(HasSubstr("text,group,iteration,position,token,norm,change,axis1,axis2,"
                                   "axis3\n0,0,0,0,a,"),
                         HasSubstr("\n0,1,20,1,\"say, \"\"b\"\"\",")));
  // What entered a group is on no axis.
  EXPECT_THAT(csv, HasSubstr("\n0,0,0,0,a,2,,,,\n"));
}

TEST(LoopsReport, ShowsTheEndsOfLoopsInTheWholeWalk) {
  LoopFacts facts = spiral_facts();
  facts.texts[0].walk.front() = {0, {}};
  facts.texts[0].walk.back() = {2, {20, 1}};
  const std::string text = report::render(loops_report(facts), report::Format::kTerminal, {});
  const size_t at = text.find("The whole walk");
  ASSERT_NE(at, text.npos);
  std::istringstream lines(text.substr(at));
  std::vector<std::string> rows;
  for (std::string line; std::getline(lines, line) && !line.empty();) rows.push_back(line);
  ASSERT_EQ(rows.size(), 4U) << text;
  EXPECT_THAT(rows[1], HasSubstr("step  layer  iteration  change  relative  cosine  norm"));
  EXPECT_THAT(rows[2], HasSubstr("     1      0          -"));
  EXPECT_THAT(rows[3], HasSubstr("    20      2       20.1")) << "iterations 2 to 19 are left out";
  for (const std::string& row : rows) EXPECT_LE(row.size(), 80U);
  EXPECT_EQ(loop_numbers(facts)["texts"][0]["walk"][19]["iterations"], json({20, 1}));
  facts.texts[0].walk.clear();
  EXPECT_THAT(report::render(loops_report(facts), report::Format::kMarkdown),
              Not(HasSubstr("The whole walk")));
}

TEST(LoopsReport, ConvergenceIsALineAnIterationAndAStep) {
  LoopFacts facts = spiral_facts();
  facts.texts[0].walk.back() = {3, {20, 2}};
  const std::string csv = convergence_csv(facts);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 20 + 20);
  EXPECT_THAT(
      csv, AllOf(HasSubstr("text,group,step,layer,iteration,change,relative,cosine,norm,"
                           "kl_drift\n0,0,,,1,"),
                 HasSubstr("\n0,1,,,20,"), HasSubstr("\n0,,1,1,1,"), HasSubstr("\n0,,20,3,20.2,")));
  const Convergence& c = facts.texts[0].groups[1].convergence;
  EXPECT_THAT(csv, HasSubstr(fmt::format("\n0,1,,,3,{},{},{},{},0.25\n", c.change[2], c.relative[2],
                                         c.angle[2], c.norm[2])));
  // The first change has none before it.
  EXPECT_THAT(csv, HasSubstr(fmt::format("\n0,1,,,1,{},{},,{},1\n", c.change[0], c.relative[0],
                                         c.norm[0])));
}

TEST(LoopsReport, SingleNumbersAreALineEach) {
  LoopFacts facts = spiral_facts();
  facts.jacobians = {{1, 5, 2, 0.75, 1.25}};
  facts.spreads = {{5, 0.125, 0.0625, NAN}};
  const std::string csv = numbers_csv(facts);
  EXPECT_THAT(csv, ::testing::StartsWith("quantity,group,iteration,token,sample,value\n"
                                         "box_dimension,0,,,0,"));
  EXPECT_THAT(csv, AllOf(HasSubstr("\nspectral_radius,1,5,2,,0.75\noperator_norm,1,5,2,,1.25\n"),
                         HasSubstr("\nspread_of_states,,5,,,0.125\n"),
                         HasSubstr("\nspread_kl,,5,,,\n"), HasSubstr("\ndrift_to_loop,0,,,0,"),
                         HasSubstr("\nexplained_by_axis,,,,3,"), Not(HasSubstr("on_axes"))));
}

// The spiral is flat but for what tells tokens apart, so nothing is lost on its axes.
TEST(LoopsReport, BoxesAreCountedOnTheAxesToo) {
  LoopFacts facts = spiral_facts();
  EXPECT_TRUE(facts.shapes[0].axis_boxes.empty());
  EXPECT_THAT(report::render(loops_report(facts), report::Format::kMarkdown),
              Not(HasSubstr("axes |")));
  facts.boxes_on_axes = true;
  analyse(facts);
  for (const LoopShapes& shapes : facts.shapes) {
    ASSERT_EQ(shapes.axis_boxes.size(), shapes.boxes.size());
    ASSERT_EQ(shapes.axis_run_boxes.size(), shapes.run_boxes.size());
    for (const double d : shapes.axis_boxes) EXPECT_TRUE(d > 0 && d < 3) << d;
  }
  EXPECT_NE(facts.shapes[0].axis_boxes, facts.shapes[0].boxes) << "other coordinates, other boxes";
  DenseMatrix way(20, 3);
  for (size_t k = 0; k < 20; ++k)
    for (size_t a = 0; a < 3; ++a) way.at(k, a) = facts.projections[0].groups[0][k].at(2, a);
  EXPECT_EQ(facts.shapes[0].axis_boxes.back(), box_dimension(way));
  EXPECT_THAT(report::render(loops_report(facts), report::Format::kTerminal, {}),
              AllOf(HasSubstr("layers 2-3, all channels"), HasSubstr("layers 2-3, 3 axes")));
  EXPECT_EQ(loop_numbers(facts)["groups"][1]["box_dimension_on_axes"].size(), 3U);
}

TEST(LoopsReport, SaysWhereJacobiansWereTaken) {
  LoopFacts facts = spiral_facts();
  facts.jacobian_steps = 3;
  facts.jacobians = {
      {0, 5, 1, 0.75, 1.25}, {0, 5, 2, 0.25, 0.75}, {1, 5, 1, 2, 3}, {1, 5, 2, 2, 3}};
  const std::string text = report::render(loops_report(facts), report::Format::kMarkdown);
  EXPECT_THAT(text, AllOf(HasSubstr("| spectral radius | sd | operator norm | sd |"),
                          HasSubstr("| layer 1 | 5 | 0.5 | 0.354 | 1 | 0.354 |"),
                          HasSubstr("| layers 2-3 | 5 | 2 | 0 | 3 | 0 |"),
                          HasSubstr("tokens 1, 2 (its first is 0)"),
                          HasSubstr("estimates by 3 applications")));
  facts.jacobian_steps = 4;  // as many as there are channels
  facts.jacobians = {{0, 5, 1, 0.75, 1.25}};
  const std::string exact = report::render(loops_report(facts), report::Format::kMarkdown);
  EXPECT_THAT(exact,
              AllOf(HasSubstr("text's token 1 (its first is 0)."),
                    HasSubstr("| layer 1 | 5 | 0.75 | 1.25 |"), Not(HasSubstr("estimates"))));
}

const report::Plot& plot_called(const std::vector<report::Plot>& plots, const std::string& title) {
  for (const report::Plot& plot : plots)
    if (plot.title == title) return plot;
  ADD_FAILURE() << title;
  return plots.front();
}

TEST(LoopPictures, ShadeByDepthAndShapeByGroup) {
  LoopFacts facts = spiral_facts();
  std::vector<report::Plot> plots = trajectory_plots(facts);
  EXPECT_EQ(plots.size(), 2U * (1 + 2 * 2)) << "of two pairs of axes";
  const report::Plot& all = plot_called(plots, "all loops on the principal axes");
  EXPECT_THAT(all.shapes, ElementsAre("layer 1", "layers 2-3"));
  EXPECT_EQ(all.shades->last, "40");
  ASSERT_EQ(all.lines.size(), 3U) << "a token each";
  const report::Marks& marks = all.lines[1].marks;
  ASSERT_EQ(marks.shapes.size(), 40U);
  EXPECT_TRUE(marks.ends);
  EXPECT_EQ(marks.shapes[19], 0U);
  EXPECT_EQ(marks.shapes[20], 1U);
  EXPECT_EQ(marks.shades.front(), 0);
  EXPECT_EQ(marks.shades.back(), 1);
  EXPECT_EQ(all.lines[1].y[20], facts.projections[0].groups[1][0].at(1, 1));
  const report::Plot& zoomed =
      plot_called(plots, "layer 1, last 15 iterations, from each token's last place");
  EXPECT_EQ(zoomed.shades->first, "6");
  EXPECT_EQ(zoomed.shades->last, "20");
  EXPECT_EQ(zoomed.lines[0].x.size(), 15U);
  EXPECT_EQ(zoomed.lines[0].x.back(), 0);
  EXPECT_EQ(plot_called(plots, "layers 2-3 on the principal axes").lines[0].marks.shapes[0], 1U);
  EXPECT_TRUE(zoomed.shapes.empty()) << "one group needs no shape";
  facts.token_pictures = true;
  plots = trajectory_plots(facts);
  EXPECT_EQ(plots.size(), 2U * (1 + 2 * 2 + 3));
  EXPECT_EQ(plots.back().title, "token 2 c on the principal axes");
  ASSERT_EQ(plots.back().lines.size(), 1U);
  EXPECT_EQ(plots.back().lines[0].x.size(), 40U);
  facts.token_pictures = false;
  // A group within another goes on elsewhere, so no one way leads through both.
  facts.outer = {true, false};
  EXPECT_EQ(trajectory_plots(facts).size(), 2U * (2 * 2));
}

TEST(LoopPictures, TellHowFarEachTokenGoes) {
  const LoopFacts facts = spiral_facts();
  const std::vector<report::Plot> plots = token_plots(facts);
  ASSERT_EQ(plots.size(), 2U);
  ASSERT_EQ(plots[1].lines.size(), 3U);
  EXPECT_EQ(plots[1].lines[1].name, "1 say, \"b\"");
  ASSERT_EQ(plots[1].lines[0].y.size(), 20U);
  for (const size_t k : {0U, 7U, 19U}) {
    double mean = 0;
    for (const report::Line& line : plots[1].lines) mean += line.y[k] / 3;
    EXPECT_NEAR(mean, facts.texts[0].groups[1].convergence.relative[k], 1e-12) << k;
  }
}

// Twelve tokens at the most, the last one among them.
TEST(LoopPictures, AreOfAFewTokens) {
  LoopFacts facts = spiral_facts();
  for (GroupLoops& group : facts.texts[0].groups)
    for (DenseMatrix& x : group.states) {
      DenseMatrix wide(64, 4);
      for (size_t i = 0; i < wide.values.size(); ++i)
        wide.values[i] = x.values[i % x.values.size()] + double(i);
      x = wide;
    }
  analyse(facts);
  for (const report::Plot& plot : token_plots(facts)) {
    EXPECT_LE(plot.lines.size(), 12U);
    EXPECT_EQ(plot.lines.back().name, "63");
  }
  EXPECT_EQ(trajectory_plots(facts)[0].lines.size(), token_plots(facts)[0].lines.size());
}

DepthTable three_depths() {
  DepthTable table;
  table.trained = 8;
  table.rows = {{"as trained", {}, 2, 0.1, {}, 0.25, 0.05, 1e6, 4.5},
                {"8 loops", 8, 1.75, 0.1, {}, 0, 0, 2e6},
                {"30 loops", 30, 1.875, NAN, {}, 0.125, NAN, 5e6}};
  table.reference = 1;
  return table;
}

TEST(DepthTable, ComparesWithItsReference) {
  report::Report report;
  add_depths(three_depths(), report);
  const std::string text = report::render(report, report::Format::kMarkdown);
  EXPECT_THAT(text, AllOf(HasSubstr("Differences are from 8 loops"), HasSubstr("+0.2500 +- 0.0500"),
                          HasSubstr("30 loops (beyond)"), HasSubstr("1.8750 +- n/a"),
                          HasSubstr("2.00M"), HasSubstr("4.50")));
  EXPECT_THAT(report::render_terminal(report, {78, false}),
              AllOf(HasSubstr("\n  (beyond)\n"), Not(HasSubstr("…"))))
      << "what an evaluation is called goes on below";
  const json rows = depth_numbers(three_depths());
  EXPECT_EQ(rows[2]["loops"], 30);
  EXPECT_TRUE(rows[2]["standard_error"].is_null());
  EXPECT_FALSE(rows[1].contains("difference"));
  EXPECT_EQ(rows[0]["iterations"], 4.5);
}

// Where layers answer by themselves the last one's loss is not the answer's.
TEST(DepthTable, TellsTheLossOfTheAnswersGiven) {
  const auto said = [](const DepthTable& table) {
    report::Report report;
    add_depths(table, report);
    return report::render(report, report::Format::kMarkdown);
  };
  EXPECT_THAT(said(three_depths()), Not(HasSubstr("infer")));
  DepthTable table = three_depths();
  table.rows[2].infer = 2.125;
  EXPECT_EQ(table.rows[2].answer_loss(), 2.125);
  EXPECT_EQ(table.rows[1].answer_loss(), 1.75);
  EXPECT_THAT(said(table), AllOf(HasSubstr("| infer |"), HasSubstr("| 2.1250 |"),
                                 HasSubstr("They are of what is answered")));
  EXPECT_EQ(depth_numbers(table)[2]["infer"], 2.125);
  EXPECT_FALSE(depth_numbers(table)[1].contains("infer"));
}

TEST(DepthTable, DrawsWhatIsBeyondTrainingApart) {
  report::Report report;
  add_depths(three_depths(), report);
  const auto* plot = std::get_if<report::Plot>(&report.parts.back().body);
  ASSERT_NE(plot, nullptr);
  ASSERT_EQ(plot->lines.size(), 2U);
  EXPECT_THAT(plot->lines[0].x, ElementsAre(8));
  EXPECT_THAT(plot->lines[1].x, ElementsAre(8, 30));
}

}  // namespace
}  // namespace fathom
