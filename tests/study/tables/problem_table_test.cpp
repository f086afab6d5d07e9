// Accuracies on problems in words, worked out by hand.
#include "fathom/study/tables/problem_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "fathom/report/render.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ProblemTable, AnswersAreComparedAsNumbers) {
  EXPECT_TRUE(is_right(4.0, 4, kExact));
  EXPECT_FALSE(is_right(4.001, 4, kExact));
  EXPECT_TRUE(is_right(4.001, 4, kNear));
  EXPECT_TRUE(is_right(1e-7, 0, kExact)) << "1e-6 is the least tolerance";
  EXPECT_FALSE(is_right(-4, 4, kNear));
}

// Right, near, wrong, silent; a number of the question is the answer of half of one and of one
// other of three; two of four answers are 5, and 5.02 is near them.
ProblemTable some_answers() {
  ProblemTable table = {"tiny", "p.jsonl", 8, {}};
  table.answers = {{5, " 5.0!", 5.0, {5, 3}, false},
                   {5, "4.96", 4.96, {2, 3}, false},
                   {5.02, "7", 7.0, {1, 5.02, 3}, true},
                   {100, "no", {}, {}, false}};
  return table;
}

TEST(ProblemTable, WhatWasNotAskedIsCountedAndSaid) {
  ProblemTable table = some_answers();
  table.no_problems = 2;
  table.first_no_problem = "p.jsonl, line 3 has no answer";
  table.unreadable = 1;
  table.first_unreadable = "p.jsonl, line 5: no token";
  const report::Report report = problem_report(table);
  EXPECT_EQ(report.values["problems"], 4);
  EXPECT_EQ(report.values["lines_without_problem"], 2);
  EXPECT_EQ(report.values["questions_without_tokens"], 1);
  const std::string terminal = report::render_terminal(report);
  EXPECT_THAT(terminal, HasSubstr("2 lines are no problems and were passed over"));
  EXPECT_THAT(terminal, HasSubstr("p.jsonl, line 3 has no"));
  EXPECT_THAT(terminal, HasSubstr("1 question has no tokens in the vocabulary"));
}

TEST(ProblemTable, AReportHasAccuraciesBesideBaselines) {
  const report::Report report = problem_report(some_answers());
  const auto& exact = report.values["accuracy"];
  const auto& near = report.values["accuracy_near"];
  EXPECT_EQ(exact["value"], 0.25);
  EXPECT_EQ(near["value"], 0.5);
  EXPECT_NEAR(exact["low"].get<double>(), 0.0456, 5e-5) << "Wilson's";
  EXPECT_NEAR(exact["baselines"]["question_number"].get<double>(), (0.5 + 1 / 3.) / 4, 1e-12);
  EXPECT_EQ(exact["baselines"]["most_frequent"], 0.5);
  EXPECT_EQ(near["baselines"]["most_frequent"], 0.75);
  EXPECT_EQ(report.values["without_a_number"], 1);
  EXPECT_EQ(report.values["questions_cut"], 1);
  EXPECT_EQ(report.values["answers"][1]["right"], false);
  EXPECT_EQ(report.values["answers"][1]["near"], true);
  EXPECT_EQ(report.values["answers"][3]["given"], nullptr);
  const std::string terminal = report::render_terminal(report);
  EXPECT_THAT(terminal, HasSubstr("1 problem is longer than what the model sees"));
  EXPECT_THAT(terminal, HasSubstr("1 answer has no number"));
  ProblemTable whole = some_answers();
  whole.answers.resize(2);
  EXPECT_THAT(report::render_terminal(problem_report(whole)), Not(HasSubstr("longer")));
}

}  // namespace
}  // namespace fathom
