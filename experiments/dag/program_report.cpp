#include "experiments/dag/program_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/dag/program_formula.h"
#include "fathom/base/text.h"
#include "fathom/report/render.h"

namespace fathom::dag {
namespace {

using report::Align;
using report::Cell;
using report::NumberForm;

// What is written is exact, where the model has three digits of it.
constexpr NumberForm kWritten = {NumberForm::Kind::kGeneral, 9};
constexpr NumberForm kShare = {NumberForm::Kind::kPercent, 1};

// What is written is a stack's, value by value and step by step; of a list it says the result
// alone.
bool is_written_alike(const TextPrograms& text) {
  return text.written.program && text.settings.executor == Executor::kStack;
}

report::Table values_table(const TextPrograms& text, const TokenProgram& program) {
  report::Table table;
  table.title = "values";
  table.columns = {{"", Align::kLeft},
                   {"sign", Align::kRight, {NumberForm::Kind::kFixed, 3}},
                   {"ln|v|", Align::kRight, {NumberForm::Kind::kFixed, 3}},
                   {"value", Align::kRight, kValueForm}};
  // What is chosen has whole signs: beside a number whose sign the model is not sure of.
  const size_t V = program.values.size();
  bool has_chosen = false;
  for (size_t v = 0; v < V; ++v)
    has_chosen = has_chosen || report::shown(program.values[v], kValueForm) !=
                                   report::shown(node_value(program, v), kValueForm);
  if (has_chosen) table.columns.push_back({"chosen", Align::kRight, kValueForm});
  const bool written = is_written_alike(text);
  if (written)
    table.columns.insert(table.columns.end(),
                         {{"written", Align::kRight},
                          {"its sign", Align::kRight},
                          {"its ln|v|", Align::kRight, {NumberForm::Kind::kFixed, 3}}});
  for (size_t v = 0; v < V; ++v) {
    std::vector<Cell> row = {node_name(program, v), program.value_signs[v], program.value_logs[v],
                             program.values[v]};
    if (has_chosen) row.emplace_back(node_value(program, v));
    if (written && !text.written.program->used[v]) row.insert(row.end(), {"none"});
    if (written && text.written.program->used[v]) {
      const Decimal& number = text.written.program->program.values[v];
      const double value = number.value();
      row.insert(row.end(),
                 {to_text(number), value < 0 ? -1 : 1, std::log(std::max(std::fabs(value), 1e-8))});
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// An operand, and of a list, which chooses it, its share.
std::string operand_text(const TokenProgram& program, size_t node,
                         const std::vector<double>& shares, size_t k) {
  const std::string name = node_name(program, node);
  return shares.empty() ? name : name + ", " + report::shown(shares.at(k), kShare);
}

report::Table operations_table(const TextPrograms& text, const TokenProgram& program) {
  report::Table table;
  table.title = "operations";
  // Shares of operations are shares_table()'s: all of it is to fit a line.
  table.columns = {{"", Align::kLeft},
                   {"operation", Align::kLeft},
                   {"first", Align::kLeft},
                   {"second", Align::kLeft},
                   {"result", Align::kRight, kValueForm}};
  const bool mixed = !program.step_values.empty();
  if (mixed) table.columns.push_back({"mixed", Align::kRight, kValueForm});
  const bool written = is_written_alike(text);
  if (written)
    table.columns.insert(table.columns.end(),
                         {{"written", Align::kLeft}, {"its result", Align::kRight, kWritten}});
  for (size_t k = 0; k < program.operations.size(); ++k) {
    const auto [first, second] = operands_of(program, k);
    Cell operation = program.operations[k];
    if (written)
      operation.marked =
          program.operations[k] != to_text(text.written.program->program.operations[k]);
    std::vector<Cell> row = {
        node_name(program, program.values.size() + k), operation,
        operand_text(program, first, program.operand1_shares, k),
        takes_two(program, k) ? operand_text(program, second, program.operand2_shares, k) : "",
        program.hard_values[k]};
    if (mixed) row.emplace_back(program.step_values[k]);
    if (written)
      row.insert(row.end(), {to_text(text.written.program->program.operations[k]),
                             text.written.program->results[k]});
    table.rows.push_back(std::move(row));
  }
  return table;
}

// What a token's program begins with, a stack with its top, and what every operation gave: mixed,
// as the log has it (dag/value/0, ...), or of a predictor, which executes none, as chosen.
std::vector<double> stages_of(const TokenProgram& program) {
  const bool mixed = !program.step_values.empty();
  const std::vector<double>& steps = mixed ? program.step_values : program.hard_values;
  std::vector<double> stages = {mixed ? program.values.back()
                                      : node_value(program, program.values.size() - 1)};
  stages.insert(stages.end(), steps.begin(), steps.end());
  return stages;
}

// Of those that are finite.
double mean_of(const std::vector<double>& values) {
  double sum = 0, n = 0;
  for (const double v : values)
    if (std::isfinite(v)) sum += v, ++n;
  return sum / n;
}

// Of each stage, over all tokens.
std::vector<double> stage_means(const TextPrograms& text) {
  std::vector<double> means;
  for (size_t k = 0; k <= text.programs.front().operations.size(); ++k) {
    std::vector<double> values;
    for (const TokenProgram& program : text.programs) values.push_back(stages_of(program).at(k));
    means.push_back(mean_of(values));
  }
  return means;
}

report::Table stages_table(const TextPrograms& text) {
  report::Table table;
  table.title = text.predictor ? "values of each stage" : "values of each stage, mixed";
  const bool stack = text.settings.executor == Executor::kStack;
  table.columns = {{"", Align::kRight},
                   {"token", Align::kLeft},
                   {stack ? "begins with (top)" : "begins with", Align::kRight, kValueForm}};
  for (size_t k = 1; k <= text.programs.front().operations.size(); ++k)
    table.columns.push_back({fmt::format("step {}", k), Align::kRight, kValueForm});
  table.columns.push_back({"mean", Align::kRight, kValueForm});
  const auto add = [&](std::vector<Cell> row, const std::vector<double>& stages) {
    row.insert(row.end(), stages.begin(), stages.end());
    row.emplace_back(mean_of(stages));
    table.rows.push_back(std::move(row));
  };
  for (size_t token = 0; token < text.programs.size(); ++token)
    add({token, quoted_start(text.tokens.at(token))}, stages_of(text.programs[token]));
  add({"mean", ""}, stage_means(text));
  return table;
}

// The likeliest names of each operation beside one another.
report::Table shares_table(const TextPrograms& text, const TokenProgram& program) {
  report::Table table;
  table.title = "shares of operations";
  table.columns = {{"", Align::kLeft}};
  for (const Operation operation : text.settings.operations)
    table.columns.push_back({to_text(operation), Align::kRight, kShare});
  for (size_t k = 0; k < program.all_shares.size(); ++k) {
    std::vector<Cell> row = {node_name(program, program.values.size() + k)};
    for (const double share : program.all_shares[k]) row.emplace_back(share);
    table.rows.push_back(std::move(row));
  }
  return table;
}

report::ColouredText marked_text(const TextPrograms& text, size_t token) {
  report::ColouredText out;
  out.categories = {{"this token", '^'}};
  out.legend = "";
  for (size_t i = 0; i < text.tokens.size(); ++i) {
    out.runs.push_back({text.tokens[i]});
    if (i != token) continue;
    report::TextRun& chosen = out.runs.back();
    chosen.category = 0;
    // A line break is to be seen, too.
    for (size_t at = 0; (at = chosen.text.find('\n', at)) != std::string::npos; at += 2)
      chosen.text.replace(at, 1, "\\n");
    if (chosen.text != text.tokens[i] && i + 1 < text.tokens.size()) out.runs.push_back({"\n"});
  }
  return out;
}

nlohmann::json program_json(const TextPrograms& text, size_t token) {
  const TokenProgram& program = text.programs[token];
  nlohmann::json values = nlohmann::json::array(), steps = nlohmann::json::array();
  for (size_t v = 0; v < program.values.size(); ++v)
    values.push_back({{"value", program.values[v]},
                      {"sign", program.value_signs[v]},
                      {"log", program.value_logs[v]},
                      {"chosen", node_value(program, v)}});
  for (size_t k = 0; k < program.operations.size(); ++k) {
    const auto [first, second] = operands_of(program, k);
    nlohmann::json step = {{"operation", program.operations[k]},
                           {"share", program.operation_shares[k]},
                           {"shares", program.all_shares[k]},
                           {"first", first},
                           {"second", second},
                           {"result", program.hard_values[k]}};
    if (!program.step_values.empty()) step["mixed"] = program.step_values[k];
    if (!program.operand1_shares.empty()) {
      step["first_share"] = program.operand1_shares[k];
      step["second_share"] = program.operand2_shares[k];
    }
    steps.push_back(std::move(step));
  }
  nlohmann::json out = {{"position", program.position},
                        {"token", report::json_word(text.tokens[token])},
                        {"formula", formula_of(program)},
                        {"values", values},
                        {"steps", steps},
                        {"result", node_value(program, values.size() + steps.size() - 1)},
                        {"divides_by_zero", divides_by_zero(program)},
                        {"mean", mean_of(stages_of(program))}};
  if (!text.predictor && text.settings.fold == Fold::kGate) out["gate"] = program.gate;
  return out;
}

nlohmann::json written_json(const WrittenText& written) {
  if (written.expression.empty()) return nullptr;
  const bool by_zero = fathom::divides_by_zero(written.expression);
  nlohmann::json out = {{"expression", to_text(written.expression)},
                        {"value", by_zero ? nlohmann::json() : nlohmann::json(written.value)},
                        {"divides_by_zero", by_zero}};
  if (!written.program) return out;
  const NumberProgram& program = written.program->program;
  nlohmann::json values = nlohmann::json::array(), operations = nlohmann::json::array();
  for (size_t v = 0; v < program.values.size(); ++v)
    values.push_back({{"value", program.values[v].value()},
                      {"written", to_text(program.values[v])},
                      {"used", bool{written.program->used[v]}}});
  for (const Operation operation : program.operations) operations.push_back(to_text(operation));
  out.update(
      {{"values", values}, {"operations", operations}, {"results", written.program->results}});
  return out;
}

report::Report begun_report(const TextPrograms& text, const std::string& title) {
  report::Report report;
  report.title = title;
  const bool stack = text.settings.executor == Executor::kStack;
  nlohmann::json names = nlohmann::json::array();
  for (const Operation operation : text.settings.operations) names.push_back(to_text(operation));
  report.values = {{"run", text.run},
                   {"checkpoint", text.checkpoint},
                   {"step", text.step},
                   {"executor", stack ? "stack" : "scratch"},
                   {"operations", names},
                   {"behind", text.behind},
                   {"written", written_json(text.written)},
                   {"reason", text.written.reason},
                   {"programs", nlohmann::json::array()}};
  report.add(report::Paragraph{fmt::format("{}, at step {}", title, with_commas(text.step))});
  return report;
}

std::string written_sentence(const WrittenText& written) {
  if (written.expression.empty())
    return fmt::format("written: nothing that could be compared ({})", written.reason);
  const bool computes = written.expression.size() > 1;
  return fmt::format("written: {}{}{}",
                     equation(to_text(written.expression), computes, written.value,
                              fathom::divides_by_zero(written.expression), kWritten),
                     computes ? "" : ", no operation",
                     written.reason.empty() ? "" : fmt::format(" ({})", written.reason));
}

}  // namespace

report::Graph graph_of(const TokenProgram& program) {
  const size_t V = program.values.size(), D = program.operations.size();
  const std::vector<bool> reached = reached_nodes(program);
  report::Graph graph;
  graph.title = equation_of(program);
  for (size_t node = 0; node < V + D; ++node) {
    report::Graph::Node out{node_name(program, node)};
    if (node >= V)
      out.lines.push_back(fmt::format("{} {}", program.operations[node - V],
                                      report::shown(program.operation_shares[node - V], kShare)));
    out.lines.push_back(report::shown(node_value(program, node), kValueForm));
    if (node >= V && !program.step_values.empty())
      out.lines.push_back("mixed " + report::shown(program.step_values[node - V], kValueForm));
    if (reached[node]) out.shade = node < V ? 0 : 0.5;
    out.marked = node + 1 == V + D;
    graph.nodes.push_back(std::move(out));
    if (node < V) continue;
    const auto [first, second] = operands_of(program, node - V);
    graph.edges.push_back({first, node, "first"});
    if (takes_two(program, node - V)) graph.edges.push_back({second, node, "second"});
  }
  return graph;
}

report::Report program_report(const TextPrograms& text, size_t token) {
  const TokenProgram& program = text.programs.at(token);
  report::Report report =
      begun_report(text, fmt::format("{}: the program of token {}, {}", text.run, token,
                                     quoted_start(text.tokens.at(token))));
  report.values["programs"].push_back(program_json(text, token));
  report.add(marked_text(text, token));
  std::string lines = "chosen: " + equation_of(program);
  if (!program.step_values.empty())
    lines += fmt::format("\nmixed by all shares: {}",
                         report::shown(program.step_values.back(), kValueForm));
  if (!text.predictor && text.settings.fold == Fold::kGate)
    lines += fmt::format("\ngate: {}", report::shown(program.gate, kValueForm));
  lines += "\n" + written_sentence(text.written);
  if (text.settings.targets == Targets::kSequence)
    lines +=
        "\nIt was trained on what all tokens of a text say on average (dag_targets = sequence)";
  if (!text.behind.empty())
    lines += fmt::format(
        "\nasked behind the text, where the run's own go on with {}: a program is "
        "known there, not before (--token=N asks a token)",
        in_quotes(text.behind));
  report.add(report::Paragraph{lines});
  report.add(graph_of(program), report::kInHtml | report::kInSvg);
  report.add(values_table(text, program));
  report.add(operations_table(text, program));
  report.add(shares_table(text, program));
  return report;
}

report::Report programs_report(const TextPrograms& text) {
  report::Report report = begun_report(text, text.run + ": the programs of all tokens");
  const bool gated = !text.predictor && text.settings.fold == Fold::kGate;
  report::Table table;
  table.columns = {{"", Align::kRight},
                   {"token", Align::kLeft},
                   {"chosen", Align::kLeft},
                   {"result", Align::kRight, kValueForm}};
  if (!text.predictor) table.columns.push_back({"mixed", Align::kRight, kValueForm});
  if (gated) table.columns.push_back({"gate", Align::kRight, {NumberForm::Kind::kFixed, 3}});
  for (size_t token = 0; token < text.programs.size(); ++token) {
    const TokenProgram& program = text.programs[token];
    report.values["programs"].push_back(program_json(text, token));
    std::vector<Cell> row = {token, quoted_start(text.tokens.at(token)), formula_of(program),
                             program.hard_values.back()};
    if (!text.predictor) row.emplace_back(program.step_values.back());
    if (gated) row.emplace_back(program.gate);
    table.rows.push_back(std::move(row));
  }
  report.add(report::Paragraph{written_sentence(text.written)});
  report.add(std::move(table));
  report.values["stage_means"] = stage_means(text);
  report.add(stages_table(text));
  return report;
}

}  // namespace fathom::dag
