// Marks at the points of lines: which points have one, and that every format shows them.
#include "fathom/report/marks.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "fathom/report/columns.h"
#include "fathom/report/gnuplot.h"
#include "fathom/report/svg.h"
#include "report/report_testing.h"

namespace fathom::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Two ways over the same five places, in two shapes, ever darker.
Plot marked_plot(const std::string& word) {
  Plot plot;
  plot.title = "ways";
  plot.shapes = {word + " one", word + " two"};
  plot.shades = {{word, "1", "5"}};
  for (const double turn : {1.0, -1.0}) {
    Line line{turn > 0 ? "up" : "down", {}, {}};
    for (int i = 0; i < 5; ++i) {
      line.x.push_back(i);
      line.y.push_back(turn * i);
      line.marks.shapes.push_back(i < 3 ? 0 : 1);
      line.marks.shades.push_back(i / 4.0);
    }
    line.marks.ends = true;
    plot.lines.push_back(line);
  }
  return plot;
}

Report report_with(const Plot& plot) {
  Report report;
  report.add(plot);
  return report;
}

size_t count_of(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) ++n;
  return n;
}

TEST(Marks, AreAtPointsThatAreShown) {
  const Plot plot = marked_plot("w");
  Line line = plot.lines[0];
  line.y[0] = kNaN;
  line.marks.shades[3] = kNaN;
  const std::vector<MarkedPoint> marks = marked_points(line, scales_of(plot));
  ASSERT_EQ(marks.size(), 4U);
  EXPECT_EQ(marks[0].point, 1U);
  EXPECT_TRUE(marks[0].first) << "of those that are there";
  EXPECT_EQ(marks[1].shape, 0U);
  EXPECT_EQ(marks[2].shape, 1U);
  EXPECT_EQ(marks[1].shade, 0.5);
  EXPECT_FALSE(marks[2].shade) << "no number";
  EXPECT_TRUE(marks[3].last);
  EXPECT_FALSE(marks[3].first);
}

TEST(Marks, OfVeryManyPointsAreSomeAndTheEnds) {
  Line line{"long", {}, {}};
  for (int i = 0; i < 100'000; ++i) {
    line.x.push_back(i % 1000);
    line.y.push_back(i);
    line.marks.shades.push_back(i / 100'000.0);
  }
  line.marks.ends = true;
  Plot plot;
  plot.lines = {line};
  const PlotScales scales = scales_of(plot);
  const std::vector<MarkedPoint> marks = marked_points(line, scales);
  EXPECT_LE(marks.size(), 100U);
  EXPECT_EQ(marks.front().point, 0U);
  EXPECT_EQ(marks.back().point, 99'999U);
  // What thinning leaves has the marks of its points.
  const Line thin = thinned(line, scales, kPlacesAcross);
  ASSERT_EQ(thin.marks.shades.size(), thin.y.size());
  for (size_t i = 0; i < thin.y.size(); ++i) EXPECT_EQ(thin.marks.shades[i], thin.y[i] / 100'000);
  line.marks.shades.clear();
  EXPECT_EQ(marked_points(line, scales).size(), 2U) << "its ends alone";
  line.marks.ends = false;
  EXPECT_TRUE(marked_points(line, scales).empty());
}

TEST(Marks, OfAPictureHaveShapesColoursAndEnds) {
  const std::string svg = render_svg(report_with(marked_plot("depth")));
  EXPECT_EQ(fault_of_xml(svg), "");
  // Three circles a line, a ring, and both in the legend; two squares a line and one there.
  EXPECT_EQ(count_of(svg, "r=\"4\""), 2U * 3 + 1);
  EXPECT_EQ(count_of(svg, "r=\"7.5\""), 2U + 1);
  EXPECT_EQ(count_of(svg, "stroke-width=\"2.2\""), 2U + 1) << "a cross each";
  EXPECT_EQ(count_of(svg, "fill=\"" + css(scale_colour(0.5)) + "\" stroke"), 2U);
  EXPECT_EQ(count_of(svg, "r=\"2.5\""), 0U) << "no dots beside them";
  EXPECT_THAT(svg, AllOf(HasSubstr(">depth one<"), HasSubstr(">depth two<"), HasSubstr(">depth 1<"),
                         HasSubstr(">5<"), HasSubstr(">first point<")));
  EXPECT_EQ(count_of(svg, "height=\"12\""), 16U) << "the scale";
  // Every shape looks otherwise.
  std::set<std::string> looks;
  for (size_t shape = 0; shape < kMarkShapes; ++shape)
    looks.insert(render_svg(report_with([&] {
      Plot plot = marked_plot("x");
      for (Line& line : plot.lines) line.marks.shapes.assign(5, shape);
      return plot;
    }())));
  EXPECT_EQ(looks.size(), kMarkShapes);
}

TEST(Marks, OfATerminalAreColoursOrSigns) {
  const Report report = report_with(marked_plot("depth"));
  const std::string plain = render_terminal(report, {80, false});
  EXPECT_THAT(plain, HasSubstr("\n  ● depth one   ■ depth two   ○ first point   × last point\n"));
  EXPECT_EQ(count_of(plain, "○"), 1U + 1) << "both lines begin at one place";
  EXPECT_EQ(count_of(plain, "●"), 2U * 2 + 1);
  EXPECT_EQ(count_of(plain, "■"), 2U + 1);
  EXPECT_EQ(count_of(plain, "×"), 2U + 1);
  EXPECT_THAT(plain, Not(HasSubstr("\033")));
  const std::string coloured = render_terminal(report, {80, true});
  EXPECT_EQ(count_of(coloured, "\033[30;48;5;"), 9U) << "five and four";
  EXPECT_THAT(coloured, HasSubstr("\033[30;48;5;229m○"));
  EXPECT_THAT(coloured, AllOf(HasSubstr("depth 1 \033[48;5;229m"), HasSubstr("m×")));
  std::istringstream lines(plain);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80U) << line;
}

TEST(Marks, OfOneShapeAreDigitsWithoutColours) {
  Plot plot = marked_plot("depth");
  plot.shapes.clear();
  const std::string plain = render_terminal(report_with(plot), {80, false});
  EXPECT_THAT(plain, AllOf(HasSubstr("\n  depth 1 0123456789 5   ○ first point   × last point\n"),
                           HasSubstr("****2****"), HasSubstr("****5****"), HasSubstr("++++7++++")));
}

TEST(Marks, AreNumbersToProgramsAndGnuplot) {
  const Plot plot = marked_plot("depth");
  const auto json = nlohmann::json::parse(render_json(report_with(plot)))["parts"][0];
  EXPECT_EQ(json["shapes"], nlohmann::json({"depth one", "depth two"}));
  EXPECT_EQ(json["shades"]["last"], "5");
  EXPECT_EQ(json["lines"][0]["shapes"], nlohmann::json({0, 0, 0, 1, 1}));
  EXPECT_EQ(json["lines"][0]["shades"][2], 0.5);
  EXPECT_EQ(json["lines"][0]["ends"], true);
  const std::string script = gnuplot_script(report_with(plot), "out.png");
  EXPECT_EQ(count_of(script, "lc rgb variable"), 2U * 2) << "of each line, a shape each";
  EXPECT_THAT(script, AllOf(HasSubstr("pt 6 ps 2"), HasSubstr("pt 2 ps 2"),
                            HasSubstr("title \"depth 5\""), Not(HasSubstr("linespoints"))));
}

// A long key has a place of its own.
TEST(GnuplotScript, HasLongKeysBesideThePicture) {
  Plot plot = example_plot();
  EXPECT_THAT(gnuplot_script(report_with(plot), "o"), HasSubstr("set key inside right"));
  for (int i = 0; i < 6; ++i) plot.lines.push_back(plot.lines[0]);
  EXPECT_THAT(gnuplot_script(report_with(plot), "o"), HasSubstr("set key outside right"));
}

TEST(Marks, HaveTextsThatAreObeyedNowhere) {
  for (const std::string& text : hostile_texts()) {
    const Report report = report_with(marked_plot(text));
    EXPECT_EQ(fault_of_xml(render_svg(report)), "") << text;
    EXPECT_THAT(render_html(report), Not(HasSubstr("<script"))) << text;
    EXPECT_THAT(render_terminal(report), Not(HasSubstr("\033"))) << text;
    EXPECT_THAT(gnuplot_script(report, "out.png"), Not(HasSubstr("`"))) << text;
  }
}

// Where nothing is marked nothing is said of marks.
TEST(Marks, OfPlotsWithoutAnyAreNone) {
  const Report report = report_with(example_plot());
  EXPECT_THAT(render_svg(report), Not(HasSubstr("first point")));
  EXPECT_THAT(render_json(report), Not(HasSubstr("shades")));
  EXPECT_EQ(count_of(gnuplot_script(report, "o"), "with points"), 0U);
}

}  // namespace
}  // namespace fathom::report
