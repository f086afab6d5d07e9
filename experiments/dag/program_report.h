// The programs of a text's tokens as reports: formulas, tables, JSON, and a drawn graph.
// Torch-free.
//
// V values that the executor begins with, D operations. Nodes of a program are numbered: the values
// 0 .. V - 1, then the operations' results V .. V + D - 1.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "experiments/dag/program_trace.h"
#include "experiments/dag/settings.h"
#include "experiments/dag/written_text.h"
#include "fathom/report/report.h"

namespace fathom::dag {

struct TextPrograms {
  std::string run, checkpoint;
  int64_t step = 0;
  std::vector<std::string> tokens;     // their texts
  std::string behind;                  // what was put behind the text, to be asked there
  std::vector<TokenProgram> programs;  // one a token
  DagSettings settings;
  bool predictor = false;
  WrittenText written;
};

// The nodes that operation k takes, the deeper one of a stack first.
std::pair<size_t, size_t> operands_of(const TokenProgram& program, size_t k);
// "2 * (12 - 3.4)", of the likeliest operations and operands; what would be longer than a line has
// names of nodes in it.
std::string formula_of(const TokenProgram& program);
// "2 * (12 - 3.4) = 17.2", or why it has no value.
std::string equation_of(const TokenProgram& program);
report::Graph graph_of(const TokenProgram& program);

report::Report program_report(const TextPrograms& text, size_t token);
report::Report programs_report(const TextPrograms& text);  // of all tokens, a row each

}  // namespace fathom::dag
