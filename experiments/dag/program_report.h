// The programs of a text's tokens as reports: formulas, tables, JSON, and a drawn graph.
// Torch-free.
//
// V values that the executor begins with, D operations. Nodes of a program are numbered: the values
// 0 .. V - 1, then the operations' results V .. V + D - 1.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "experiments/dag/program_trace.h"
#include "experiments/dag/settings.h"
#include "fathom/data/numbers/expression.h"
#include "fathom/data/numbers/program.h"
#include "fathom/report/report.h"

namespace fathom::dag {

// What a text says itself.
struct WrittenProgram {
  NumberProgram program;  // padded to the model's depth
  std::vector<bool> used;
  std::vector<double> results;  // D
};
// Of what stands before the first "=". Throws Error(kUsage) where that is no expression, or none of
// which programs are made.
WrittenProgram written_program(std::string_view text, const DagSettings& settings);

struct TextPrograms {
  std::string run, checkpoint;
  int64_t step = 0;
  std::vector<std::string> tokens;     // their texts
  std::string behind;                  // what was put behind the text, to be asked there
  std::vector<TokenProgram> programs;  // one a token
  DagSettings settings;
  bool predictor = false;
  // What the text says before the first "=", where that is an expression, and its value (not
  // finite: it divides by 0, or is beyond what a number holds).
  std::vector<ExpressionToken> expression;
  double expression_value = 0;
  std::optional<WrittenProgram> written;
  std::string unwritten;  // why there is none
};
// Reads the text for them.
void read_written(std::string_view text, TextPrograms& programs);

// The nodes that operation k takes, the deeper one of a stack first.
std::pair<size_t, size_t> operands_of(const TokenProgram& program, size_t k);
// "2 * (12 - 3.4)", of the likeliest operations and operands; what would be longer than a line has
// names of nodes in it.
std::string formula_of(const TokenProgram& program);
report::Graph graph_of(const TokenProgram& program);

report::Report program_report(const TextPrograms& text, size_t token);
report::Report programs_report(const TextPrograms& text);  // of all tokens, a row each

}  // namespace fathom::dag
