// The page of who answered, in a browser: its colours, its hover text, and the keyboard.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "fathom/report/render.h"
#include "fathom/study/tables/exit_table.h"
#include "web/browser.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LayerGuess guess(const std::string& text, double p, double p_truth) {
  return {{{0, text, p}, {0, "?", 1 - p}}, p_truth, p};
}

ExitTable example() {
  ExitTable t;
  t.run = "toy";
  t.source = "three tokens";
  t.layers = {0, 1};
  t.thresholds = {0.9, 0.9};
  t.first = "T";
  t.rows = {{0, "h", true, 0, true, {guess("h", 0.95, 0.95), guess("h", 0.97, 0.97)}},
            {0, "\n", true, 1, false, {guess("x", 0.5, 0.25), guess("\n", 0.75, 0.75)}},
            {0, "<", false, 1, false, {guess("x", 0.5, 0.1), guess("&", 0.625, 0.125)}}};
  return t;
}

class ExitTablePage : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Browser::is_installed()) GTEST_SKIP() << "the package chromium-driver is not installed";
    path_ = std::filesystem::temp_directory_path() /
            ("fathom-page-" + std::to_string(getpid()) + ".html");
    std::ofstream(path_) << report::render_html(exit_report(example()));
    browser_ = std::make_unique<Browser>();
    browser_->open_file(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string style(int token, const std::string& property) {
    return browser_->run("return getComputedStyle(document.querySelectorAll('.t')[" +
                         std::to_string(token) + "])." + property);
  }
  // Of the tips that can be seen, the text.
  std::vector<std::string> tips() {
    return browser_->run(
        "return [...document.querySelectorAll('.tip')].filter(t => t.offsetWidth > 0)"
        ".map(t => t.innerText)");
  }

  std::filesystem::path path_;
  std::unique_ptr<Browser> browser_;
};

TEST_F(ExitTablePage, ColoursTokensByTheLayerThatAnswered) {
  EXPECT_EQ(browser_->run("return document.querySelectorAll('.t').length"), 3);
  EXPECT_EQ(style(1, "backgroundColor"), style(2, "backgroundColor"));
  EXPECT_NE(style(0, "backgroundColor"), style(1, "backgroundColor"));
  EXPECT_NE(style(0, "backgroundColor"), "rgba(0, 0, 0, 0)");
  EXPECT_THAT(style(2, "textDecorationLine"), HasSubstr("underline"));
  EXPECT_THAT(style(0, "textDecorationLine"), Not(HasSubstr("underline")));
  EXPECT_EQ(browser_->run("return document.querySelectorAll('.t')[2].firstChild.data"), "<");
  // Text of the page as a reader sees it, line break included.
  EXPECT_THAT(std::string(browser_->run("return document.querySelector('.text').innerText")),
              HasSubstr("Th↵\n<"));
}

TEST_F(ExitTablePage, HoverShowsWhatEveryLayerThought) {
  EXPECT_TRUE(tips().empty());
  browser_->hover(".t:nth-of-type(2)");
  const auto shown = tips();
  ASSERT_EQ(shown.size(), 1U);
  for (const char* text :
       {"truth \\n", "layer 1, though not sure", "x", "0.500", "0.750", "truth 0.250"})
    EXPECT_THAT(shown[0], HasSubstr(text));
  browser_->hover("h1");
  EXPECT_TRUE(tips().empty());
}

// However wide the table is, and wherever its token stands.
TEST_F(ExitTablePage, TipsStayOnThePage) {
  ExitTable table = example();
  for (int i = 0; i < 300; ++i) table.rows.push_back(table.rows[0]);
  for (ExitRow& row : table.rows)
    for (LayerGuess& layer : row.layers) layer.best.resize(40, {0, "wide", 0.001});
  std::ofstream(path_) << report::render_html(exit_report(table));
  browser_->open_file(path_);
  for (const char* token : {"1", "60", "303"}) {
    browser_->hover(std::string(".t:nth-of-type(") + token + ")");
    EXPECT_EQ(browser_->run(
                  "return [...document.querySelectorAll('.tip')].filter(t => t.offsetWidth > 0)"
                  ".map(t => t.getBoundingClientRect()).filter(r => r.left >= 0 && r.top >= 0 &&"
                  "r.right <= innerWidth && r.bottom <= innerHeight).length"),
              1)
        << token;
  }
  EXPECT_EQ(browser_->run("return document.documentElement.scrollWidth > innerWidth"), false);
}

// A long text has the page to itself: its key stays in view, nothing below it is empty, and what is
// told of its last token leaves that one visible.
TEST_F(ExitTablePage, ALongTextFillsThePage) {
  ExitTable table = example();
  for (int i = 0; i < 4000; ++i) table.rows.push_back(table.rows[0]);
  std::ofstream(path_) << report::render_html(exit_report(table));
  browser_->open_file(path_);
  EXPECT_GT(browser_->run("return document.querySelector('.text').offsetWidth / innerWidth"), 0.9);
  browser_->run("scrollTo(0, document.body.scrollHeight / 2)");
  EXPECT_LT(browser_->run("return document.querySelector('.legend').getBoundingClientRect().top"),
            5);
  EXPECT_GE(browser_->run("return document.querySelector('.legend').getBoundingClientRect().top"),
            0);
  browser_->run("scrollTo(0, document.body.scrollHeight)");
  EXPECT_LT(browser_->run("return innerHeight - document.body.lastElementChild"
                          ".getBoundingClientRect().bottom"),
            200);
  browser_->hover(".t:last-of-type");
  ASSERT_EQ(tips().size(), 1U);
  EXPECT_GE(browser_->run("const last = [...document.querySelectorAll('.t')].pop();"
                          "return last.lastElementChild.getBoundingClientRect().top -"
                          "last.getBoundingClientRect().bottom"),
            0);
}

TEST_F(ExitTablePage, TheKeyboardReachesEveryToken) {
  for (const char* truth : {"truth h", "truth \\n", "truth <"}) {
    browser_->press_tab();
    const auto shown = tips();
    ASSERT_EQ(shown.size(), 1U) << truth;
    EXPECT_THAT(shown[0], HasSubstr(truth));
    EXPECT_EQ(browser_->run("return document.getElementById("
                            "document.activeElement.getAttribute('aria-describedby')).innerText"),
              shown[0]);
  }
}

TEST_F(ExitTablePage, NeedsNothingFromElsewhere) {
  EXPECT_EQ(browser_->run("return performance.getEntriesByType('resource').length"), 0);
  EXPECT_EQ(browser_->run("return document.scripts.length"), 0);
}

// For people to look at: FATHOM_SCREENSHOT=FILE.png.b64, of FATHOM_PAGE or of the example.
TEST_F(ExitTablePage, ItsPictureIsTaken) {
  if (const char* page = std::getenv("FATHOM_PAGE")) browser_->open_file(page);
  browser_->hover(".t:nth-of-type(3)");
  const std::string picture = browser_->screenshot();
  EXPECT_GT(picture.size(), 1000U);
  if (const char* file = std::getenv("FATHOM_SCREENSHOT")) std::ofstream(file) << picture;
}

}  // namespace
}  // namespace fathom::testing
