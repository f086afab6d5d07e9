// Accuracies and intervals worked out by hand.
#include "fathom/study/tables/choice_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/report/render.h"
#include "fathom/study/tables/guess_table.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// By a token 0 is likelier, as a whole 1.
ChoiceScore long_and_short(size_t label) {
  ChoiceScore score;
  score.label = label;
  score.ln_p = {-4, -3};
  score.tokens = {4, 2};
  return score;
}

TEST(ChoiceTable, ALongEndingIsNotBlamedForItsLength) {
  const ChoiceScore score = long_and_short(0);
  EXPECT_DOUBLE_EQ(score.mean(0), -1);
  EXPECT_DOUBLE_EQ(score.mean(1), -1.5);
  EXPECT_EQ(score.chosen(), 0u);
  EXPECT_EQ(score.chosen_by_sum(), 1u);
  ChoiceScore equal = score;
  equal.ln_p = {-4, -2};
  EXPECT_EQ(equal.chosen(), 0u) << "of equal ones the first";
}

// Wilson's, as tables have them.
TEST(ChoiceTable, AnIntervalIsWilsons) {
  const ObservedShare half = observed_share(5, 10);
  EXPECT_DOUBLE_EQ(half.value, 0.5);
  EXPECT_NEAR(half.low, 0.2366, 5e-5);
  EXPECT_NEAR(half.high, 0.7634, 5e-5);
  EXPECT_NEAR(observed_share(0, 10).high, 0.2775, 5e-5);
  EXPECT_NEAR(observed_share(0, 10).low, 0, 1e-12);
  EXPECT_NEAR(observed_share(10, 10).low, 0.7225, 5e-5);
  EXPECT_NEAR(observed_share(10, 10).high, 1, 1e-12);
}

TEST(ChoiceTable, AReportHasBothRulesAndWhatWasCut) {
  ChoiceTable table = {
      "tiny", "h.jsonl", {long_and_short(0), long_and_short(1), long_and_short(0)}};
  report::Report report = choice_report(table);
  EXPECT_NEAR(report.values["accuracy"]["value"].get<double>(), 2 / 3., 1e-12);
  EXPECT_NEAR(report.values["accuracy_by_sum"]["value"].get<double>(), 1 / 3., 1e-12);
  EXPECT_NEAR(report.values["guessing"].get<double>(), 0.5, 1e-12);
  EXPECT_NEAR(report.values["nats_per_token"].get<double>(), (1 + 1.5 + 1) / 3, 1e-12);
  EXPECT_EQ(report.values["scores"][1]["sum_ln_p"], nlohmann::json({-4, -3}));
  EXPECT_THAT(report::render_terminal(report), Not(HasSubstr("lost its beginning")));
  table.questions[0].cut = 3;
  EXPECT_THAT(report::render_terminal(choice_report(table), {200, false}),
              HasSubstr("1 context lost its beginning"));
  const std::string narrow = report::render_terminal(choice_report(table), {80, false});
  EXPECT_THAT(narrow, HasSubstr("accuracy, by ln p of all"));
  EXPECT_THAT(narrow, HasSubstr("0.6667, 95 % between 0.2077 and 0.9385\n"));
  EXPECT_THAT(narrow, HasSubstr("3 questions\n"));
}

TEST(GuessTableReport, HasARowALayer) {
  GuessTable table;
  table.seen = {"a", "\n"};
  table.layers = {{"0", {{1, "b", 0.25}, {2, "", 0.5}}, false}, {"scores", {}, true}};
  report::Report report;
  add_guesses(table, "token 1", report);
  const std::string text = report::render_terminal(report);
  EXPECT_THAT(text, HasSubstr("token 1"));
  EXPECT_THAT(text, HasSubstr("b 0.25"));
  EXPECT_THAT(text, HasSubstr("scores"));
  const nlohmann::json numbers = guess_numbers(table);
  EXPECT_EQ(numbers["layers"][0]["guesses"][1]["p"], 0.5);
  EXPECT_FALSE(numbers["layers"][0]["own_readout"].get<bool>());
}

TEST(GuessTableReport, FitsATerminalOf80ColumnsWithShortTokens) {
  GuessTable table;
  table.seen = std::vector<std::string>(8, "abc");
  table.layers = {{"scores", std::vector<GuessTable::Guess>(8, {1, "x", 0.999}), true}};
  report::Report report;
  add_guesses(table, "token 1", report);
  const std::string text = report::render_terminal(report, {80, false});
  EXPECT_THAT(text, HasSubstr("x 1.00"));
  EXPECT_THAT(text, Not(HasSubstr("\u2026")));
}

}  // namespace
}  // namespace fathom
