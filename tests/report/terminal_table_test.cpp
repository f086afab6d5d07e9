// Tables that a terminal is too narrow for: what is left out, folded, cut, and what never is.
#include "fathom/report/render.h"

#include <algorithm>

#include "report/report_testing.h"

namespace fathom::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(TerminalTable, CutsNothingThatIsToBeTyped) {
  Report report;
  Table table;
  table.columns = {{"run", Align::kLeft, {}, {}, Narrow::kWhole}, {"text", Align::kLeft}};
  table.rows = {{std::string(60, 'r'), std::string(60, 't')}};
  report.add(table);
  const std::string shown = render_terminal(report, {80, false});
  EXPECT_NE(shown.find(std::string(60, 'r')), shown.npos);
  EXPECT_EQ(shown.find(std::string(60, 't')), shown.npos);
}

// Runs as `fathom runs` has them.
TEST(TerminalTable, LeavesOutAndFoldsBeforeItCuts) {
  const auto at = [](int width, bool keeps_all = false) {
    Table table;
    table.columns = {{"run", Align::kLeft, {}, {}, Narrow::kWhole},
                     {"preset", Align::kLeft, {}, {}, Narrow::kFold},
                     {"data", Align::kLeft, {}, {}, Narrow::kLeftOut},
                     {"loss"},
                     {"changed", Align::kLeft, {}, {}, Narrow::kLeftOut}};
    table.rows = {{"wirings-s1", "10-resmlp-single_small", "verses", 2.25, "2026-01-02 03:04"},
                  {"a", "tiny"}};
    Report report;
    report.add(table);
    return render_terminal(report, {width, false, keeps_all});
  };
  EXPECT_EQ(at(69),
            "  run         preset                  data    loss  changed\n"
            "  wirings-s1  10-resmlp-single_small  verses  2.25  2026-01-02 03:04\n"
            "  a           tiny\n");
  EXPECT_EQ(at(60),
            "  run         preset                  data    loss\n"
            "  wirings-s1  10-resmlp-single_small  verses  2.25\n"
            "  a           tiny\n\n"
            "Not shown for want of width: changed.\n");
  EXPECT_EQ(at(45),
            "  run         preset                  loss\n"
            "  wirings-s1  10-resmlp-single_small  2.25\n"
            "  a           tiny\n\n"
            "Not shown for want of width: data, changed.\n");
  EXPECT_EQ(at(40),
            "  run         preset                loss\n"
            "  wirings-s1  10-resmlp-single_     2.25\n"
            "              small\n"
            "  a           tiny\n\n"
            "Not shown for want of width: data,\n"
            "changed.\n");
  EXPECT_THAT(at(30), AllOf(HasSubstr("10-resml"), Not(HasSubstr("…"))));
  // Elsewhere than on a terminal.
  EXPECT_EQ(at(69, true), at(69));
  EXPECT_THAT(at(60, true),
              AllOf(HasSubstr("data"), HasSubstr("changed"), Not(HasSubstr("width"))));
  const std::string cut = at(60, true);
  EXPECT_EQ(std::count(cut.begin(), cut.end(), '\n'), 3) << "a row a line";
  EXPECT_THAT(at(44, true), AllOf(HasSubstr("changed"), HasSubstr("\n\n  run")));
}

TEST(TerminalTable, LeavesNothingOutWhereItBreaksAllTheSame) {
  Table table;
  table.columns = {{"name", Align::kLeft},
                   {"a"},
                   {"b"},
                   {"c"},
                   {"d"},
                   {"note", Align::kLeft, {}, {}, Narrow::kLeftOut}};
  table.rows = {{"one", 11111111, 22222222, 33333333, 44444444, "long"}};
  Report report;
  report.add(table);
  EXPECT_THAT(render_terminal(report, {30, false}),
              AllOf(HasSubstr("  name  note\n  one   long\n"), Not(HasSubstr("want of width"))));
}

TEST(TerminalTable, WhatIsToBeTypedIsFoldedOnlyWhereTheTableWouldBreak) {
  const auto at = [](int width) {
    Table table;
    table.columns = {{"run", Align::kLeft, {}, {}, Narrow::kWhole},
                     {"preset", Align::kLeft, {}, {}, Narrow::kFold},
                     {"loss"}};
    table.rows = {{"gpt2ish_small-20261129-220335", "gpt2ish_small", 2.25}};
    Report report;
    report.add(table);
    return render_terminal(report, {width, false});
  };
  EXPECT_EQ(at(47),
            "  run                            preset    loss\n"
            "  gpt2ish_small-20261129-220335  gpt2ish_  2.25\n"
            "                                 small\n");
  EXPECT_EQ(at(45),
            "  run                     preset         loss\n"
            "  gpt2ish_small-          gpt2ish_small  2.25\n"
            "  20261129-220335\n");
}

TEST(TerminalTable, NamesOfNumbersAreCutOnlyWhereTheTableThenFits) {
  Table table;
  table.columns = {{"name", Align::kLeft}, {"difference"}, {"interval"}, {"p"}};
  table.rows = {{"one", "12345678", "123456789012", "0.123456"}};
  const auto at = [&](int width) {
    Report report;
    report.add(table);
    return render_terminal(report, {width, false});
  };
  EXPECT_EQ(at(41).find("\n\n"), std::string::npos);
  EXPECT_THAT(at(41), ::testing::HasSubstr("…"));
  EXPECT_THAT(at(36), ::testing::HasSubstr("difference"));
  EXPECT_THAT(at(36), ::testing::HasSubstr("\n\n  name"));
}

// Numbers are never cut: columns that do not fit stand below, each group behind the first column.
TEST(TerminalTable, TablesThatAreTooWideGoOnBelow) {
  Table table;
  table.columns = {{"name", Align::kLeft}, {"a"}, {"b"}, {"c"}, {"d"}};
  table.rows = {{"one", 11111111, 22222222, 33333333, 44444444}, {"two", 5, 6, 7, 8}};
  Report report;
  report.add(table);
  EXPECT_EQ(render_terminal(report, {30, false}),
            "  name         a         b\n"
            "  one   11111111  22222222\n"
            "  two          5         6\n"
            "\n"
            "  name         c         d\n"
            "  one   33333333  44444444\n"
            "  two          7         8\n");
  const std::string wide = render_terminal(report, {80, false});
  EXPECT_EQ(std::count(wide.begin(), wide.end(), '\n'), 3);
}

TEST(TerminalTable, WhatGoesOnBelowIsNotCut) {
  Table table;
  table.columns = {{"", Align::kLeft}, {"operation", Align::kLeft}, {"first number"}, {"second"}};
  table.rows = {{"step 1", "add", 1.5, 123456789}};
  Report report;
  report.add(table);
  EXPECT_EQ(render_terminal(report, {34, false}),
            "          operation  first number\n"
            "  step 1  add                 1.5\n"
            "\n"
            "             second\n"
            "  step 1  123456789\n");
}

}  // namespace
}  // namespace fathom::report
