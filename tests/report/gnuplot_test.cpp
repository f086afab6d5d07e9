// Pictures by gnuplot: what it is told, and, where it is installed, what it makes of it.
#include "fathom/report/gnuplot.h"

#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/io/files.h"
#include "fathom/io/program.h"
#include "io/temp_folder.h"
#include "report/report_testing.h"

namespace fathom::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The script without what stands in its double quotes.
std::string outside_of_quotes(const std::string& script) {
  std::string out;
  bool inside = false;
  for (const char c : script) {
    if (c == '"')
      inside = !inside;
    else if (!inside)
      out += c;
  }
  EXPECT_FALSE(inside);
  return out;
}

TEST(GnuplotScript, HoldsTextsInQuotesAlone) {
  const std::string plain = outside_of_quotes(gnuplot_script(report_of("x"), "out.png"));
  for (const std::string& text : hostile_texts()) {
    if (text.empty()) continue;  // a line without a name has no title
    const std::string script = gnuplot_script(report_of(text), "out.png");
    EXPECT_EQ(outside_of_quotes(script), plain) << text;
    EXPECT_THAT(script, Not(HasSubstr("`")));
  }
}

TEST(GnuplotScript, HasABlockForEveryLineAndGapsWhereThereAreSome) {
  const std::string script = gnuplot_script(example(), "out.png");
  EXPECT_THAT(script, HasSubstr("$d0 << EOD\n0 4\n100 3\n200 2.5\n\n400 2.25\nEOD\n"));
  EXPECT_THAT(script, HasSubstr("$d1 << EOD\n0 4 3.75 4.25\n"));
  EXPECT_THAT(script, HasSubstr("set multiplot layout 2,1"));
  EXPECT_THAT(script, Not(HasSubstr("nan")));
  EXPECT_EQ(gnuplot_script(Report(), "out.png"), "");
}

TEST(Png, IsDrawnByGnuplot) {
  if (find_program("gnuplot").empty()) GTEST_SKIP() << "gnuplot is not installed";
  // Every hostile text at once, for each picture takes gnuplot a moment.
  Plot plot;
  Bars bars;
  for (const std::string& text : hostile_texts()) {
    plot.title += text;
    plot.lines.push_back({text, {0, 1}, {1, 2}, {0, 1}, {2, 3}});
    bars.names.push_back(text);
    bars.values.push_back(1);
  }
  plot.x.label = plot.y.label = bars.title = plot.title;
  Report hostile, nothing, huge;
  hostile.add(plot);
  hostile.add(bars);
  nothing.add(Plot());
  nothing.add(Bars{"b", {"x"}, {kNaN}});
  huge.add(Plot{"h", {}, {}, {{"l", {1, 2, 3}, {1e300, -1e300, 0}}}});
  const std::vector<Report> reports = {example(), hostile, nothing, huge};
  for (const Report& report : reports) {
    const std::string png = render_png(report);
    EXPECT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
    EXPECT_GT(png.size(), 1000U);
  }
  EXPECT_FALSE(std::filesystem::exists("harm"));
  try {
    render_png(Report());
    ADD_FAILURE() << "there is nothing to draw";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("nothing to draw"));
  }
}

// What stands in ~/.gnuplot is not drawn with: a program in its place paints its first word.
TEST(Png, IsDrawnWithoutTheSettingsOfTheUser) {
  testing::TempFolder temp;
  write_file_durably(temp / "gnuplot",
                     as_bytes("#!/bin/sh\nprintf '%s' \"$1\" > \"${2%/*}/picture.png\"\n"));
  std::filesystem::permissions(temp / "gnuplot", std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", temp.path().c_str(), 1);
  std::string drawn;
  try {
    drawn = render_png(example());
  } catch (const Error& e) {
    ADD_FAILURE() << e.what();
  }
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(drawn, "--default-settings");
}

TEST(Png, WithoutGnuplotSaysWhatToInstall) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/no/such", 1);
  try {
    require_gnuplot();
    ADD_FAILURE() << "there is no gnuplot in /no/such";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.hint(), HasSubstr("apt-get install gnuplot-nox"));
  }
  ::setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace fathom::report
