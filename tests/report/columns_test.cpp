// Text in columns, axes in round numbers, lines without what nobody sees.
#include "fathom/report/columns.h"

#include <cmath>

#include "fathom/report/ticks.h"
#include "report/report_testing.h"

namespace fathom::report {
namespace {

using ::testing::ElementsAre;

TEST(Columns, AreThoseOfATerminal) {
  EXPECT_EQ(columns("abc"), 3U);
  EXPECT_EQ(columns("日本"), 4U);
  EXPECT_EQ(columns("e\u0301"), 1U) << "an accent takes none";
  EXPECT_EQ(columns(""), 0U);
  EXPECT_EQ(cut_to_columns("abcdef", 4), "abc…");
  EXPECT_EQ(cut_to_columns("日本語", 4), "日…") << "half a character is none";
  EXPECT_EQ(cut_to_columns("abc", 3), "abc");
  EXPECT_EQ(cut_to_columns("abc", 0), "");
  EXPECT_EQ(padded("日", 4, Align::kRight), "  日");
  EXPECT_EQ(padded("日", 4, Align::kLeft), "日  ");
}

TEST(Columns, TextIsMadeFitToBeShown) {
  EXPECT_EQ(one_line("a\n\tb\x1b"), "a\\n\\tb\\x1b");
  EXPECT_EQ(lines_of_text("a \n\t\x02\xff"), "a \n\\t\\x02\\xff");
}

TEST(Columns, LinesAreBrokenAtSpaces) {
  EXPECT_THAT(wrapped("one two three", 8), ElementsAre("one two", "three"));
  EXPECT_THAT(wrapped("a\n\nb", 8), ElementsAre("a", "", "b"));
  EXPECT_THAT(wrapped("toolongaword is", 4), ElementsAre("toolongaword", "is"));
  EXPECT_THAT(wrapped("  in", 8), ElementsAre("  in"));
}

TEST(Columns, NamesAreFoldedAtTheirParts) {
  EXPECT_THAT(folded_name("gpt2ish_shakespeare_cpu", 21),
              ElementsAre("gpt2ish_shakespeare_", "cpu"));
  EXPECT_THAT(folded_name("10-base", 8), ElementsAre("10-base"));
  EXPECT_THAT(folded_name("10-base", 4), ElementsAre("10-", "base"));
  EXPECT_THAT(folded_name("a-bcdefghij", 5), ElementsAre("a-bcd", "efghi", "j"));
  EXPECT_THAT(folded_name("dropout = 0.05", 12), ElementsAre("dropout =", "0.05"));
  EXPECT_THAT(folded_name("abc/d-ef", 7), ElementsAre("abc/", "d-ef")) << "words before parts";
  EXPECT_THAT(folded_name("lr_1e-05", 6), ElementsAre("lr_", "1e-05"));
  EXPECT_THAT(folded_name("wd_0.25", 6), ElementsAre("wd_", "0.25"));
  EXPECT_THAT(folded_name("run.v2", 5), ElementsAre("run.", "v2"));
  EXPECT_THAT(folded_name("one-two more", 7), ElementsAre("one-two", "more"));
  EXPECT_THAT(folded_name("words  in", 5), ElementsAre("words", "in"));
  EXPECT_THAT(folded_name("日本語", 4), ElementsAre("日本", "語"));
  EXPECT_THAT(folded_name("日", 1), ElementsAre("日")) << "no half characters";
  EXPECT_THAT(folded_name("", 4), ElementsAre(""));
}

TEST(Columns, ColouredLineBreaksShowThemselves) {
  ColouredText text;
  text.categories = {{"one", '1'}};
  text.runs = {{"a\n"}, {"\nb\t", 0}};
  std::vector<std::string> lines;
  for (const auto& pieces : text_lines(text, 80, /*show_breaks=*/true)) {
    lines.emplace_back();
    for (const Piece& piece : pieces) lines.back() += piece.text;
  }
  EXPECT_THAT(lines, ElementsAre("a", "↵", "b\\t"));
}

std::vector<std::string> labels(double low, double high, int most, bool log = false) {
  std::vector<std::string> out;
  double before = -1;
  for (const Tick& tick : Scale(low, high, log).ticks(most)) {
    EXPECT_GE(tick.place, -1e-9);
    EXPECT_LE(tick.place, 1 + 1e-9);
    EXPECT_GT(tick.place, before);
    before = tick.place;
    out.push_back(tick.label);
  }
  EXPECT_LE(out.size(), static_cast<size_t>(most) + 2);
  return out;
}

TEST(Ticks, AreRoundNumbers) {
  EXPECT_THAT(labels(0, 1, 5), ElementsAre("0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(labels(1.87, 4.17, 5), ElementsAre("2.0", "2.5", "3.0", "3.5", "4.0"));
  EXPECT_THAT(labels(0, 5000, 5), ElementsAre("0", "1000", "2000", "3000", "4000", "5000"));
  EXPECT_THAT(labels(0, 300000, 3), ElementsAre("0", "100k", "200k", "300k"));
  EXPECT_THAT(labels(-2, 2, 4), ElementsAre("-2", "-1", "0", "1", "2"));
  EXPECT_THAT(labels(0, 4e12, 4), ElementsAre("0", "1T", "2T", "3T", "4T"));
  EXPECT_THAT(labels(0, 1.5e9, 3), ElementsAre("0", "0.5G", "1.0G", "1.5G"));
  EXPECT_THAT(labels(0, 2.5e7, 5), ElementsAre("0", "5M", "10M", "15M", "20M", "25M"));
  EXPECT_THAT(labels(1e-5, 4e-5, 3), ElementsAre("1e-5", "2e-5", "3e-5", "4e-5"));
  EXPECT_THAT(labels(0, 1e300, 2), ElementsAre("0", "5e299", "1e300"));
}

TEST(Ticks, OfLogarithmicAxesAreDecades) {
  EXPECT_THAT(labels(1, 1000, 5, true), ElementsAre("1", "10", "100", "1000"));
  EXPECT_THAT(labels(1, 10, 9, true), ElementsAre("1", "2", "5", "10"));
  EXPECT_THAT(labels(1e-5, 1e5, 4, true), ElementsAre("1e-5", "0.01", "10", "10000"));
  EXPECT_THAT(labels(2, 4, 4, true), ElementsAre("2.0", "2.5", "3.0", "3.5", "4.0"));
}

TEST(Ticks, AreThereForEveryRange) {
  for (const auto& [low, high] : {std::pair{0.0, 0.0},
                                  {1.0, 1.0},
                                  {-1.7e308, 1.7e308},
                                  {5e-324, 5e-324},
                                  {1e300, 1e300},
                                  {1.0, 1.0 + 1e-15},
                                  {1e16, 1e16 + 2},
                                  {-1e-300, 1e-300},
                                  {123456.7, 123456.8}})
    EXPECT_GE(labels(low, high, 5).size(), 1U) << low << " to " << high;
  for (const auto& [low, high] :
       {std::pair{1.0, 1.0}, {5e-324, 1.7e308}, {5e-324, 5e-324}, {1.7e308, 1.7e308}, {0.9, 1.1}})
    EXPECT_GE(labels(low, high, 5, true).size(), 1U) << low << " to " << high;
}

TEST(Scales, PutNumbersWhereTheyBelong) {
  const Scale linear(-1, 3, false), log(1, 10000, true);
  EXPECT_EQ(linear.place(0), 0.25);
  EXPECT_NEAR(log.place(100), 0.5, 1e-12);
  EXPECT_FALSE(log.shows(0));
  EXPECT_FALSE(linear.shows(kNaN));
  EXPECT_EQ(Scale(-1.7e308, 1.7e308, false).place(0), 0.5);
  const PlotScales scales = scales_of(example_plot());
  EXPECT_NEAR(scales.y.low(), 1.75, 1e-12) << "the band belongs to what is shown";
  EXPECT_NEAR(scales.y.high(), 4.25, 1e-12);
}

TEST(ThinnedLines, KeepWhatCanBeSeen) {
  Line line;
  line.name = "l";
  for (int i = 0; i < 100000; ++i) {
    line.x.push_back(i);
    line.y.push_back(i == 5000 ? 100 : i == 70000 ? -100 : i >= 30000 && i < 40000 ? kNaN : i % 7);
    line.low.push_back(line.y.back() - 1);
    line.high.push_back(line.y.back() + (i == 60001 ? 50 : 1));
  }
  Plot plot;
  plot.lines = {line};
  const Line thin = thinned(line, scales_of(plot), 100);
  EXPECT_EQ(thin.name, "l");
  EXPECT_LE(thin.y.size(), 4 * 101U + 1);
  EXPECT_EQ(thin.low.size(), thin.y.size());
  EXPECT_EQ(std::count(thin.y.begin(), thin.y.end(), 100), 1);
  EXPECT_EQ(std::count(thin.y.begin(), thin.y.end(), -100), 1);
  EXPECT_EQ(*std::max_element(thin.high.begin(), thin.high.end()), 101);
  EXPECT_GE(
      std::count_if(thin.high.begin(), thin.high.end(), [](double h) { return h > 50 && h < 60; }),
      1);
  EXPECT_EQ(std::count_if(thin.y.begin(), thin.y.end(), [](double y) { return std::isnan(y); }), 1)
      << "one gap";
  EXPECT_TRUE(std::is_sorted(thin.x.begin(), thin.x.end()));
  EXPECT_EQ(thin.x.front(), 0);
  EXPECT_EQ(thin.x.back(), 99999);
  const Line few{"f", {0, 1}, {1, 2}};
  EXPECT_EQ(thinned(few, scales_of(plot), 100).x, few.x);
}

TEST(Numbers, AreShownAsTheirFormSays) {
  using Kind = NumberForm::Kind;
  EXPECT_EQ(shown(1234.5678, {Kind::kGeneral, 6}), "1234.57");
  EXPECT_EQ(shown(2.5, {Kind::kFixed, 4}), "2.5000");
  EXPECT_EQ(shown(0.256, {Kind::kPercent, 1}), "25.6 %");
  EXPECT_EQ(shown(1234567.0, {Kind::kCount}), "1,234,567");
  EXPECT_EQ(shown(1e300, {Kind::kFixed, 4}), "1e+300");
  EXPECT_EQ(shown(kNaN, {Kind::kFixed, 4}), "-");
  EXPECT_EQ(shown(-kInfinity, {Kind::kCount}), "-inf");
  EXPECT_EQ(shown(Cell(), NumberForm()), "");
  EXPECT_EQ(shown(Cell(12345), NumberForm()), "12345");
  EXPECT_EQ(shown(Cell(12345), {Kind::kCount}), "12,345");
}

}  // namespace
}  // namespace fathom::report
