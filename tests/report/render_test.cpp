// A report in every format: as it is written down in golden/report/, whatever its texts are, and
// however few or many its numbers are.
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fathom/base/visible.h"
#include "fathom/report/columns.h"
#include "report/report_testing.h"
#include "source_path.h"

namespace fathom::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// With FATHOM_WRITE_GOLDEN set, what there is becomes what is written down.
void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = testing::source_path("tests/golden/report/" + name);
  if (std::getenv("FATHOM_WRITE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << text;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << name;
}

TEST(Report, LooksAsWrittenDownInEveryFormat) {
  expect_golden("terminal_40.txt", render_terminal(example(), {40, false}));
  expect_golden("terminal_80.txt", render_terminal(example(), {80, false}));
  expect_golden("terminal_160.txt", render_terminal(example(), {160, false}));
  expect_golden("terminal_80_colours.txt", render_terminal(example(), {80, true}));
  expect_golden("report.md", render_markdown(example()));
  expect_golden("report.json", render_json(example()));
  expect_golden("report.html", render_html(example()));
  expect_golden("report.svg", render_svg(example()));
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(TerminalReport, StaysWithinItsWidth) {
  for (const int width : {48, 80, 160})
    for (const std::string& line : lines_of(render_terminal(example(), {width, false})))
      EXPECT_LE(columns(line), static_cast<size_t>(width)) << line;
  for (const std::string& line : lines_of(render_terminal(report_of("日本語 word"), {80, false})))
    EXPECT_LE(columns(line), 80U) << line;
  Report long_text;
  Table table;
  table.columns = {{"name", Align::kLeft}, {"n"}};
  table.rows = {{std::string(300, 'x'), 12}};
  long_text.add(table);
  long_text.add(Heading{std::string(30, 'y') + " " + std::string(30, 'z')});
  EXPECT_EQ(render_terminal(long_text, {40, false}),
            "  name                                 n\n  " + std::string(33, 'x') + "…  12\n\n" +
                std::string(30, 'y') + "\n" + std::string(30, 'z') + "\n");
}

TEST(TerminalReport, AHeadingStandsApartFromWhatIsBeforeIt) {
  Report report;
  report.add(Heading{"one"});
  report.add(Paragraph{"text"});
  report.add(Heading{"two"});
  report.add(Paragraph{"text"});
  EXPECT_EQ(render_terminal(report, {40, false}), "one\ntext\n\ntwo\ntext\n");
}

// Darker step by step, dark letters can be read on all, and red and green never tell two apart.
TEST(ColourScale, IsReadByEyesOfAllKinds) {
  const auto linear = [](int channel) {  // of sRGB
    const double c = channel / 255.0;
    return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
  };
  const auto light = [&](const Colour& c) {
    return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
  };
  const Colour ink = {0x1b, 0x1b, 0x1f};
  double before = 2;
  for (int i = 0; i <= 12; ++i) {
    const Colour colour = scale_colour(i / 12.0);
    EXPECT_LT(light(colour), before - 0.02) << i;
    before = light(colour);
    EXPECT_GT((before + 0.05) / (light(ink) + 0.05), 4.5) << "WCAG's contrast of small text";
    EXPECT_GE(colour.green, colour.red - 10) << "no red";
    EXPECT_GE(std::max(colour.red, colour.blue), colour.green - 20) << "no green";
  }
  EXPECT_NE(scale_terminal_colour(0), scale_terminal_colour(1));
}

TEST(TerminalReport, HasNothingThatATerminalWouldObey) {
  for (const std::string& text : hostile_texts()) {
    const std::string shown = render_terminal(report_of(text), {80, false});
    EXPECT_EQ(shown, visible(shown)) << text;
    EXPECT_THAT(shown, Not(HasSubstr("\t")));
    // With colours, nothing but what sets colours.
    const std::string coloured = render_terminal(report_of(text), {80, true});
    for (size_t at = 0; (at = coloured.find('\033', at)) != coloured.npos; ++at) {
      const size_t end = coloured.find_first_not_of("0123456789;", at + 2);
      ASSERT_NE(end, coloured.npos);
      EXPECT_EQ(coloured[at + 1], '[');
      EXPECT_EQ(coloured[end], 'm');
    }
  }
}

TEST(MarkdownReport, HoldsNoMarkupOfItsTexts) {
  for (const std::string& text : hostile_texts()) {
    Report report;
    report.add(Heading{text});
    report.add(Paragraph{text});
    Table table;
    table.columns = {{text, Align::kLeft}, {"b", Align::kLeft}};
    table.rows = {{text, text}};
    report.add(table);
    const std::string markdown = render_markdown(report);
    EXPECT_EQ(markdown, visible(markdown));
    EXPECT_THAT(markdown, AllOf(Not(HasSubstr("<")), Not(HasSubstr("]("))));
    const auto lines = lines_of(markdown);
    EXPECT_EQ(lines.front().rfind("# ", 0), 0U);
    for (size_t i = 1; i < lines.size(); ++i)
      for (const char* start : {"# ", "* ", "> ", "- ", "[x]"})
        EXPECT_NE(lines[i].rfind(start, 0), 0U) << lines[i];
    // Every row has two cells, however many bars its texts have.
    for (const std::string& line : lines) {
      if (line.empty() || line[0] != '|') continue;
      size_t bars = 0;
      for (size_t i = 0; i < line.size(); ++i)
        bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
      EXPECT_EQ(bars, 3U) << line;
    }
  }
}

TEST(JsonReport, HoldsEveryTextAndEveryNumber) {
  for (const std::string& text : hostile_texts()) {
    const auto json = nlohmann::json::parse(render_json(report_of(text)));
    EXPECT_EQ(json["title"], json_word(text));
    EXPECT_EQ(json["parts"].size(), 6U);
  }
  const auto json = nlohmann::json::parse(render_json(example()));
  const auto& table = json["parts"][2];
  EXPECT_EQ(table["columns"][2]["unit"], "nats");
  EXPECT_EQ(table["rows"][0], nlohmann::json({"first", 1234567, 2.5, 0.25}));
  EXPECT_EQ(table["rows"][1], nlohmann::json({"second", 8, nullptr}));
  const auto& line = json["parts"][3]["lines"][0];
  EXPECT_EQ(line["y"], nlohmann::json({4.0, 3.0, 2.5, nullptr, 2.25}));
  EXPECT_EQ(json["parts"][3]["lines"][1]["low"][2], 1.75);
  Report exact;
  exact.add(Plot{"", {}, {}, {{"l", {0.1, 1e300, -kInfinity}, {1.0 / 3, 5e-324, kInfinity}}}});
  const auto read = nlohmann::json::parse(render_json(exact))["parts"][0]["lines"][0];
  EXPECT_EQ(read["x"], nlohmann::json({0.1, 1e300, "-Infinity"}));
  EXPECT_EQ(read["y"], nlohmann::json({1.0 / 3, 5e-324, "Infinity"}));
  Report own = example();
  own.values = {{"loss", 1.5}};
  EXPECT_EQ(nlohmann::json::parse(render_json(own)), nlohmann::json({{"loss", 1.5}}))
      << "a study's own numbers come in place of the parts";
}

TEST(HtmlReport, IsOnePageThatEscapesItsTexts) {
  for (const std::string& text : hostile_texts()) {
    const std::string page = render_html(report_of(text));
    EXPECT_THAT(page,
                AllOf(::testing::StartsWith("<!doctype html>"), ::testing::EndsWith("</html>\n")));
    for (const char* foreign : {"http", "<script", "@import", "url(", "<!--", "<img"})
      EXPECT_THAT(page, Not(HasSubstr(foreign))) << text;
    EXPECT_EQ(page, visible(page));
    EXPECT_EQ(page.find("</title>"), page.rfind("</title>")) << text;
    EXPECT_EQ(page.find("</style>"), page.rfind("</style>")) << text;
  }
}

Report report_of_plot(const Plot& plot) {
  Report report;
  report.add(plot);
  return report;
}

Plot plot_of(std::vector<double> x, std::vector<double> y) {
  Plot plot;
  plot.title = "l";  // which the line then need not say
  plot.lines = {{"l", std::move(x), std::move(y)}};
  return plot;
}

TEST(Plots, OfNothingSayThatThereAreNoPoints) {
  for (Plot plot : {Plot(), plot_of({}, {}), plot_of({1}, {kNaN}), plot_of({kInfinity}, {1})}) {
    for (const bool log : {false, true}) {
      plot.x.log = plot.y.log = log;
      const Report report = report_of_plot(plot);
      EXPECT_THAT(render_terminal(report), HasSubstr("no points"));
      EXPECT_THAT(render_svg(report), HasSubstr("no points"));
      EXPECT_THAT(render_html(report), HasSubstr("no points"));
      EXPECT_EQ(fault_of_xml(render_svg(report)), "");
      EXPECT_FALSE(render_markdown(report).empty());
    }
  }
}

TEST(Plots, SayOnceWhatTheyAreOf) {
  Plot plot = plot_of({1, 2}, {1, 2});
  plot.title = plot.y.label = "val/loss";
  const std::string text = render_terminal(report_of_plot(plot));
  EXPECT_EQ(text.find("val/loss"), text.rfind("val/loss"));
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) ++n;
  return n;
}

TEST(Plots, OfFewPointsAreDrawnAndStayInTheirFrame) {
  for (const int n : {1, 2, 5, 50}) {
    std::vector<double> x, y;
    for (int i = 0; i < n; ++i) x.push_back(100 * i), y.push_back(11.0 / (1 + i));
    const Report report = report_of_plot(plot_of(x, y));
    const std::string svg = render_svg(report);
    EXPECT_EQ(fault_of_xml(svg), "") << n;
    EXPECT_THAT(svg, Not(HasSubstr("no points"))) << n;
    EXPECT_THAT(svg, Not(HasSubstr("nan"))) << n;
    EXPECT_THAT(render_terminal(report), Not(HasSubstr("no points"))) << n;
  }
}

TEST(Plots, APointThatNothingJoinsIsADot) {
  EXPECT_EQ(count(render_svg(report_of_plot(plot_of({5}, {7}))), "<circle"), 1U);
  std::vector<double> x, y;
  for (int i = 0; i < 100; ++i) x.push_back(i), y.push_back(i == 50 ? 1 : kNaN);
  EXPECT_EQ(count(render_svg(report_of_plot(plot_of(x, y))), "<circle"), 1U);
  const std::string terminal = render_terminal(report_of_plot(plot_of({5}, {7})));
  size_t dots = 0;
  for (const std::string& line : lines_of(terminal))
    for (size_t i = 0; i + 2 < line.size(); ++i) {
      const uint8_t first = static_cast<uint8_t>(line[i]),
                    second = static_cast<uint8_t>(line[i + 1]);
      dots += first == 0xE2 && second >= 0xA0 && second <= 0xA3;  // U+2800 to U+28FF
    }
  EXPECT_EQ(dots, 1U);
}

// What renderers do with numbers of any size: neither a number that is none in a picture, nor a
// line of endless length.
TEST(Plots, CarryNumbersOfEverySize) {
  for (const double big : {1e300, -1e300, 1.7e308, 5e-324, 1e-300})
    for (const bool log : {false, true}) {
      Plot plot = plot_of({1, 2, 3}, {big, 0, -big});
      plot.lines.push_back({"same", {1, 2, 3}, {big, big, big}});
      plot.lines.push_back({"wild x", {big, -big, 0}, {1, 2, 3}, {-big, -big, 1}, {big, 5, 5}});
      plot.x.log = plot.y.log = log;
      const Report report = report_of_plot(plot);
      const std::string svg = render_svg(report);
      EXPECT_EQ(fault_of_xml(svg), "");
      EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
      for (const bool colour : {false, true})
        for (const std::string& line : lines_of(render_terminal(report, {80, colour})))
          EXPECT_LT(line.size(), 4000U);
      EXPECT_FALSE(render_markdown(report).empty());
    }
}

TEST(Plots, OfAMillionPointsAreThinnedAndQuick) {
  std::vector<double> x, y, low, high;
  for (int i = 0; i < 1'000'000; ++i) {
    x.push_back(i);
    y.push_back(std::sin(i * 1e-5) + (i == 777'777 ? 5 : 0));
    low.push_back(y.back() - 1);
    high.push_back(y.back() + 1);
  }
  Plot plot = plot_of(x, y);
  plot.lines[0].low = low;
  plot.lines[0].high = high;
  const Report report = report_of_plot(plot);
  const auto begin = std::chrono::steady_clock::now();
  const std::string svg = render_svg(report), terminal = render_terminal(report);
  const std::string markdown = render_markdown(report);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LT(seconds, 3);
  EXPECT_LT(svg.size(), 200'000U);
  EXPECT_LT(terminal.size(), 20'000U);
  EXPECT_THAT(markdown, HasSubstr("| l | 1,000,000 |"));
  EXPECT_THAT(markdown, HasSubstr(" 777777 |")) << "the highest, at its step";
}

TEST(Plots, LinesAreToldApartWithoutColours) {
  Plot plot;
  for (const char* name : {"a", "b", "c", "d"}) plot.lines.push_back({name, {1, 2}, {1, 2}});
  const std::string svg = render_svg(report_of_plot(plot));
  for (const char* dashes : {"\"7 3\"", "\"2 3\"", "\"9 3 2 3\""})
    EXPECT_EQ(count(svg, dashes), 2U) << "a line and its key";
}

TEST(BarsReport, BeginAtZeroAndMayBeNegative) {
  Report report;
  report.add(Bars{"b", {"up", "down", "none"}, {2, -1, kNaN}});
  const std::string text = render_terminal(report, {60, false});
  const auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 4U);
  const size_t up = count(lines[1], "█"), down = count(lines[2], "█"), none = count(lines[3], "█");
  EXPECT_GT(up, 0U);
  EXPECT_NEAR(static_cast<double>(up) / static_cast<double>(down), 2, 0.2);
  EXPECT_EQ(none, 0U);
  EXPECT_THAT(lines[2], HasSubstr("-1"));
  EXPECT_EQ(count(render_svg(report), "<rect"), 1U + 3U) << "the page, and a bar each";
}

TEST(ColouredTextReport, ShadesAreColoursOrDigits) {
  ColouredText text;
  for (const double shade : {0.0, 0.5, 1.0, kNaN, 7.0}) {
    TextRun run;
    run.text = "ab";
    run.shade = shade;
    text.runs.push_back(run);
  }
  Report report;
  report.add(text);
  EXPECT_EQ(render_terminal(report, {80, false}), "ababababab\n0 5 9   9\n");
  EXPECT_EQ(count(render_terminal(report, {80, true}), "\033[30;48;5;"), 4U);
  EXPECT_EQ(count(render_html(report), "style=\"background: #"), 4U);
  EXPECT_EQ(count(render_svg(report), "<rect"), 1U + 4U);
}

TEST(ColouredTextReport, LongLinesAreBrokenWhereTheyEnd) {
  ColouredText text;
  text.categories = {{"one", '1'}};
  text.runs = {{std::string(25, 'x'), 0}, {"日日", 0}};
  Report report;
  report.add(text);
  EXPECT_EQ(render_terminal(report, {20, false}),
            std::string(20, 'x') + "\n1\n" + "xxxxx日日\n1    1\n");
}

TEST(ReportParts, AreShownWhereTheyBelong) {
  Report report;
  report.add(Paragraph{"only here"}, kInMarkdown);
  EXPECT_EQ(render_terminal(report), "");
  EXPECT_THAT(render_html(report), Not(HasSubstr("only here")));
  EXPECT_THAT(render_svg(report), Not(HasSubstr("only here")));
  EXPECT_EQ(render_markdown(report), "only here\n");
  EXPECT_THAT(render_json(report), HasSubstr("only here")) << "programs get all";
}

}  // namespace
}  // namespace fathom::report
