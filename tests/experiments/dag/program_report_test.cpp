// Programs of tokens as formulas, graphs, tables and JSON, beside what the text says.
#include "experiments/dag/program_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "experiments/dag/program_formula.h"
#include "fathom/report/render.h"

namespace fathom::dag {
namespace {

using testing::caught;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

DagSettings stack_of(int64_t depth) {
  DagSettings settings;
  settings.depth = depth;
  settings.executor = Executor::kStack;
  settings.operations = {kWrittenOperations.begin(), kWrittenOperations.end()};
  settings.fold = Fold::kGate;
  return settings;
}

// 2 * (12 - 3.4), as a stack.
TokenProgram stack_program() {
  TokenProgram p;
  p.position = 1;
  p.values = {2, 12, 3.4};
  p.value_signs = {1, 1, 1};
  p.value_logs = {0.693, 2.485, 1.224};
  p.operations = {"subtract", "multiply"};
  p.operation_shares = {0.75, 0.9};
  p.all_shares = {{0.25, 0.75, 0, 0, 0}, {0.1, 0, 0.9, 0, 0}};
  p.step_values = {10.3, 16.9};
  p.hard_values = {8.6, 17.2};
  p.gate = 0.25;
  return p;
}

TextPrograms stack_text() {
  TextPrograms text;
  text.run = "r";
  text.settings = stack_of(2);
  text.tokens = {"2 * (12 ", "- 3.4)"};
  text.programs = {stack_program(), stack_program()};
  text.written = written_text("2 * (12 minus three point four) = 17.2", text.settings);
  return text;
}

TEST(ProgramReport, AStackJoinsTheTwoOnTop) {
  TokenProgram p = stack_program();
  EXPECT_THAT(operands_of(p, 0), Pair(1, 2));
  EXPECT_THAT(operands_of(p, 1), Pair(0, 3));
  EXPECT_EQ(formula_of(p), "2 * (12 - 3.4)");
  EXPECT_EQ(graph_of(p).title, "2 * (12 - 3.4) = 17.2");
  p.operations = {"divide", "identity"};
  EXPECT_EQ(formula_of(p), "2");
  p.operations = {"identity", "add"};
  EXPECT_EQ(formula_of(p), "2 + 12");
}

// What is chosen has a sign of 1 or -1, also of a number whose sign the model is not sure of.
TEST(ProgramReport, AFormulaGivesItsResult) {
  TokenProgram p = stack_program();
  p.value_signs = {0.034, -0.016, 1};
  p.value_logs = {std::log(2), std::log(12), std::log(3.4)};
  p.values = {0.068, -0.192, 3.4};
  EXPECT_EQ(formula_of(p), "2 * (-12 - 3.4)");
  EXPECT_EQ(graph_of(p).nodes.at(1).lines.back(), "-12");
}

TEST(ProgramReport, AListTakesAnyTwo) {
  TokenProgram p;
  p.values = {-3};
  p.value_signs = {-1};
  p.value_logs = {1.0986};
  p.operations = {"multiply", "add", "identity"};
  p.operation_shares = {1, 1, 1};
  p.all_shares = {{1}, {1}, {1}};
  p.operand1 = {0, 1, 1};
  p.operand2 = {0, 0, 2};
  p.operand1_shares = p.operand2_shares = {1, 1, 1};
  p.hard_values = {9, 6, 9};
  EXPECT_EQ(formula_of(p), "-3 * -3");
  const report::Graph graph = graph_of(p);
  ASSERT_EQ(graph.nodes.size(), 4u);
  ASSERT_EQ(graph.edges.size(), 5u) << "identity drops its second operand";
  EXPECT_EQ(graph.edges[4].from, 1u);
  EXPECT_TRUE(graph.nodes[1].shade.has_value());
  EXPECT_FALSE(graph.nodes[2].shade.has_value()) << "the result is not made of the sum";
  EXPECT_TRUE(graph.nodes[3].marked);
  EXPECT_THAT(graph.nodes[1].lines, ElementsAre("multiply 100.0 %", "9"));
}

// Each operation doubles what is written before it.
TEST(ProgramReport, ALongFormulaNamesItsSteps) {
  TokenProgram p;
  p.values = {2};
  p.value_signs = {1};
  p.value_logs = {0.693};
  for (size_t k = 0; k < 60; ++k) {
    p.operations.emplace_back("multiply");
    p.operand1.push_back(k);
    p.operand2.push_back(k);
  }
  EXPECT_LT(formula_of(p).size(), 250u);
  EXPECT_THAT(formula_of(p), HasSubstr("step "));
  // One that is longer by its last step is not that step's own name.
  p.operations.assign(60, "max");
  for (size_t depth = 1; depth <= p.operations.size(); ++depth) {
    TokenProgram q = p;
    q.operations.resize(depth), q.operand1.resize(depth), q.operand2.resize(depth);
    EXPECT_THAT(formula_of(q), Not(HasSubstr(fmt::format("step {}", depth)))) << depth;
    EXPECT_LE(formula_of(q).size(), 100u);
  }
}

TEST(ProgramReport, WhatIsWrittenIsReadInWordsAndSigns) {
  const WrittenProgram written =
      written_program("2 * (12 minus three point four) = 1", stack_of(3));
  EXPECT_THAT(written.used, ElementsAre(true, true, true, false));
  EXPECT_NEAR(written.results.back(), 17.2, 1e-12);
  EXPECT_ANY_THROW(written_program("the rain", stack_of(3)));
  EXPECT_ANY_THROW(written_program("1 + 2 + 3 + 4 + 5 + 6", stack_of(3)));
}

// Whether or not the model has programs of its form, and of any value.
TEST(ProgramReport, AnyExpressionHasItsValueAndSaysWhatItLacks) {
  const auto shown = [](const std::string& written) {
    TextPrograms text = stack_text();
    text.written = written_text(written, text.settings);
    const report::Report report = program_report(text, 0);
    return std::pair(report::render_terminal(report),
                     nlohmann::json::parse(report::render_json(report))["written"]);
  };
  const auto [chain, chain_json] = shown("1+2+3");
  EXPECT_THAT(chain, HasSubstr("written: 1 + 2 + 3 = 6 ("));
  EXPECT_THAT(chain, HasSubstr("a program is nested to the right"));
  EXPECT_EQ(chain_json["value"], 6);
  EXPECT_EQ(chain_json.count("operations"), 0u);
  EXPECT_THAT(shown("(2+3)*4").first, HasSubstr("written: (2 + 3) * 4 = 20 ("));
  EXPECT_THAT(shown("1 + (2 + (3 + 4))").first, HasSubstr("= 10 (")) << "too deep";
  const auto [by_zero, by_zero_json] = shown("5 + 2 / 0");
  EXPECT_THAT(by_zero, HasSubstr("written: 5 + 2 / 0 has no value: it divides by 0, for which the "
                                 "executor has 0"));
  EXPECT_EQ(by_zero_json["divides_by_zero"], true);
  EXPECT_EQ(by_zero_json["value"], nullptr);
  EXPECT_EQ(shown("2 / 4").second["divides_by_zero"], false);
  const std::string large(18, '9');
  EXPECT_THAT(shown("1 / (" + large + " / 0)").first, HasSubstr("divides by 0"));
  EXPECT_EQ(shown("the rain").second, nullptr);
}

// Whatever is typed: a number alone, numbers that the model has no values for, operations that it
// has not, nothing.
TEST(ProgramReport, SaysWhyTheModelCannotSayWhatIsWritten) {
  TextPrograms text = stack_text();
  const auto line = [&](const std::string& written) {
    text.written = written_text(written, text.settings);
    const std::string terminal = report::render_terminal(program_report(text, 0), {2000});
    const size_t begin = terminal.find("written: ");
    return terminal.substr(begin, terminal.find('\n', begin) - begin);
  };
  EXPECT_EQ(line("12345 + 1"), "written: 12345 + 1 = 12346") << "exact";
  EXPECT_EQ(line("1000000 * 2"),
            "written: 1000000 * 2 = 2000000 (the model's numbers are 4.5e-05 to 22026 large, and "
            "1000000 is not: dag_value_limit = 10)");
  EXPECT_THAT(line("5 + 0.00001"), HasSubstr("and 0.00001 is not"));
  EXPECT_THAT(line("5 + 0"), HasSubstr("and 0 is not"));
  EXPECT_EQ(line("42"), "written: 42, no operation");
  EXPECT_THAT(line("(42)"), HasSubstr("42"));
  EXPECT_THAT(line(""), HasSubstr("nothing that could be compared (the expression, character 1"));
  text.settings.domain = Domain::kLinear;
  EXPECT_EQ(line("1000000 * 2"), "written: 1000000 * 2 = 2000000");
  text.settings.operations = {Operation::kAdd};
  EXPECT_EQ(line("2 * (3 + 4)"), "written: 2 * (3 + 4) = 14 (the model has no multiply: dag_ops)");
  EXPECT_THAT(line("3 + 4"), HasSubstr("has no identity"));
  text.settings.executor = Executor::kScratch;
  EXPECT_EQ(line("3 + 4"), "written: 3 + 4 = 7");
  EXPECT_EQ(nlohmann::json::parse(report::render_json(program_report(text, 0)))["reason"], "");
  line("3 - 4");
  EXPECT_EQ(nlohmann::json::parse(report::render_json(program_report(text, 0)))["reason"],
            "the model has no subtract: dag_ops");
}

TEST(ProgramReport, ALineBreakThatIsAskedIsSeen) {
  TextPrograms text = stack_text();
  text.tokens = {"1 + 2", "\n"};
  EXPECT_THAT(report::render_terminal(program_report(text, 1)), HasSubstr("1 + 2\\n\n     ^\n"));
  text.tokens = {"\n", "1 + 2"};
  EXPECT_THAT(report::render_terminal(program_report(text, 0)), HasSubstr("\\n\n^\n1 + 2\n"));
}

// The formula's numbers, where those of the table have soft signs.
TEST(ProgramReport, SoftSignsStandBesideWhatIsChosen) {
  TextPrograms text = stack_text();
  EXPECT_THAT(report::render_terminal(program_report(text, 1)),
              Not(::testing::ContainsRegex("value +chosen")));
  TokenProgram& p = text.programs[1];
  p.value_signs = {0.5, -0.25, 1};
  p.value_logs = {std::log(2), std::log(12), std::log(3.4)};
  p.values = {1, -3, 3.4};
  const report::Report report = program_report(text, 1);
  EXPECT_THAT(report::render_terminal(report),
              ::testing::ContainsRegex("value 2 +-0.250 +2.485 +-3 +-12 +12 +1 +2.485"));
  const auto json = nlohmann::json::parse(report::render_json(report));
  EXPECT_NEAR(json["programs"][0]["values"][1]["chosen"].get<double>(), -12, 1e-12);
}

// All of it, in a terminal of 80 columns.
TEST(ProgramReport, TablesFitATerminal) {
  TextPrograms text = stack_text();
  text.programs[1].step_values = {-0.07623, -0.09811};
  text.programs[1].hard_values = {-0.5812, -0.6315};
  text.programs[1].value_signs = {0.023, -0.01, 0.046};
  text.programs[1].values = {0.02464, -0.01241, 0.03075};
  text.written = written_text("2 + 12.25", text.settings);
  EXPECT_THAT(report::render_terminal(program_report(text, 1)), Not(HasSubstr("\u2026")));
}

TEST(ProgramReport, AListsOperandsHaveTheirShares) {
  TextPrograms text = stack_text();
  text.settings.executor = Executor::kScratch;
  TokenProgram& p = text.programs[1];
  p.values = {3};
  p.value_signs = {1};
  p.value_logs = {std::log(3)};
  p.operations = {"multiply", "add"};
  p.hard_values = {9, 12};
  p.operand1 = {0, 1}, p.operand2 = {0, 0};
  p.operand1_shares = {1, 0.75}, p.operand2_shares = {1, 0.5};
  EXPECT_THAT(report::render_terminal(program_report(text, 1)),
              ::testing::ContainsRegex("step 2 +add +step 1, 75.0 % +value 1, 50.0 % +12"));
}

TEST(ProgramReport, AChosenDivisionByZeroIsSaid) {
  TextPrograms text = stack_text();
  text.programs[1].operations = {"subtract", "divide"};
  text.programs[1].values = {2, 3, 3};
  text.programs[1].hard_values = {0, INFINITY};
  EXPECT_THAT(report::render_terminal(program_report(text, 1)),
              HasSubstr("chosen: 2 / (3 - 3) has no value: it divides by 0"));
  EXPECT_THAT(graph_of(text.programs[1]).title, HasSubstr("has no value"));
  const auto json = nlohmann::json::parse(report::render_json(program_report(text, 1)));
  EXPECT_EQ(json["programs"][0]["divides_by_zero"], true);
  EXPECT_EQ(json["programs"][0]["result"], nullptr);
  // One that identity drops is none of the result's.
  TokenProgram& dropped = text.programs[1];
  dropped.operations = {"divide", "identity"};
  dropped.values = {2, 3, 0};
  dropped.value_signs = {1, 1, 1};
  dropped.hard_values = {INFINITY, 2};
  EXPECT_EQ(equation_of(dropped), "2");
}

TEST(ProgramReport, OfATokenShowsBothBesideOneAnother) {
  const report::Report report = program_report(stack_text(), 1);
  const std::string terminal = report::render_terminal(report);
  for (const char* said : {"the program of token 1, \"- 3.4)\"", "chosen: 2 * (12 - 3.4) = 17.2",
                           "all shares: 16.9", "gate: 0.25", "written: 2 * (12 - 3.4) = 17.2"})
    EXPECT_THAT(terminal, HasSubstr(said));
  EXPECT_THAT(terminal, ::testing::ContainsRegex("step 1 +subtract +value 2 +value 3 +8.6 +10.3"));
  const auto json = nlohmann::json::parse(report::render_json(report));
  ASSERT_EQ(json["programs"].size(), 1u);
  const auto& program = json["programs"][0];
  EXPECT_EQ(program["token"], "- 3.4)");
  EXPECT_EQ(program["steps"][1]["first"], 0);
  EXPECT_EQ(program["steps"][1]["second"], 3);
  EXPECT_EQ(program["steps"][1]["mixed"], 16.9);
  EXPECT_EQ(program["values"][2]["value"], 3.4);
  EXPECT_EQ(program["result"], 17.2);
  EXPECT_EQ(program["divides_by_zero"], false);
  EXPECT_EQ(program["gate"], 0.25);
  EXPECT_EQ(json["written"]["operations"], (nlohmann::json{"subtract", "multiply"}));
  bool draws = false;
  for (const report::Part& part : report.parts)
    draws = draws || std::holds_alternative<report::Graph>(part.body);
  EXPECT_TRUE(draws);
}

TEST(ProgramReport, OfAPredictorHasNothingThatItDoesNotExecute) {
  TextPrograms text = stack_text();
  text.predictor = true;
  text.settings.targets = Targets::kSequence;
  text.written = written_text("the rain", text.settings);
  for (TokenProgram& program : text.programs) program.step_values.clear();
  for (const report::Report& report : {program_report(text, 0), programs_report(text)}) {
    const std::string terminal = report::render_terminal(report);
    EXPECT_THAT(terminal, Not(HasSubstr("mixed")));
    EXPECT_THAT(terminal, Not(HasSubstr("gate")));
    EXPECT_THAT(terminal, HasSubstr("written: nothing that could be compared ("));
  }
  EXPECT_THAT(report::render_terminal(program_report(text, 0)),
              HasSubstr("on average (dag_targets"));
}

TEST(ProgramReport, OfAllTokensHasARowEach) {
  TextPrograms text = stack_text();
  text.programs[0].operations = {"add", "identity"};
  const report::Report report = programs_report(text);
  const auto json = nlohmann::json::parse(report::render_json(report));
  ASSERT_EQ(json["programs"].size(), 2u);
  EXPECT_EQ(json["programs"][0]["formula"], "2");
  EXPECT_THAT(report::render_terminal(report),
              ::testing::ContainsRegex("1 +\"- 3.4\\)\" +2 \\* \\(12 - 3.4\\) +17.2 +16.9 +0.250"));
}

// What is not finite is left out of the means.
TEST(ProgramReport, OfAllTokensHasTheValuesOfEachStageAndTheirMeans) {
  TextPrograms text = stack_text();
  text.programs[0].values = {2, 12, 1.4};
  text.programs[0].step_values = {INFINITY, 4.6};
  const report::Report report = programs_report(text);
  const std::string terminal = report::render_terminal(report);
  EXPECT_THAT(terminal,
              ::testing::ContainsRegex("token +begins with \\(top\\) +step 1 +step 2 +mean"));
  EXPECT_THAT(terminal, ::testing::ContainsRegex("1 +\"- 3.4\\)\" +3.4 +10.3 +16.9 +10.2"));
  EXPECT_THAT(terminal, ::testing::ContainsRegex("mean +2.4 +10.3 +10.75 +7.817"));
  const auto json = nlohmann::json::parse(report::render_json(report));
  EXPECT_EQ(json["programs"][0]["mean"], 3);
  EXPECT_THAT(json["stage_means"], ElementsAre(2.4, 10.3, 10.75));
  // A predictor's, which nothing mixes, are those that it chose.
  text.predictor = true;
  for (TokenProgram& program : text.programs) program.step_values.clear();
  EXPECT_THAT(nlohmann::json::parse(report::render_json(programs_report(text)))["stage_means"],
              ElementsAre(2.4, 8.6, 17.2));
}

// Those that no text writes down: in a formula, in the picture, and where they divide by 0.
TEST(ProgramReport, KnowsOperationsThatTextsHaveNot) {
  TokenProgram p = stack_program();
  p.operations = {"max", "multiply"};
  p.hard_values = {12, 24};
  EXPECT_EQ(formula_of(p), "2 * max(12, 3.4)");
  p.operations = {"subtract", "min"};
  p.hard_values = {8.6, 2};
  EXPECT_EQ(equation_of(p), "min(2, 12 - 3.4) = 2");
  p.operations = {"power", "add"};
  EXPECT_EQ(formula_of(p), "2 + (12 ^ 3.4)");
  p.operations = {"subtract", "log"};
  p.hard_values = {8.6, std::log(2)};
  EXPECT_EQ(equation_of(p), "log(2) = 0.6931");
  EXPECT_EQ(graph_of(p).edges.size(), 3u) << "it takes one number";
  EXPECT_THAT(graph_of(p).nodes.back().lines, ElementsAre("log 90.0 %", "0.6931", "mixed 16.9"));
  p.operations = {"identity", "power"};
  p.values = {0, -1, 7};
  p.hard_values = {-1, INFINITY};
  EXPECT_THAT(equation_of(p), HasSubstr("0 ^ -1 has no value: it divides by 0"));
}

}  // namespace
}  // namespace fathom::dag
