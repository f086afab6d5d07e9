// The programs of a text's tokens as reports: tables, JSON, and a drawn graph. Torch-free.
#pragma once

#include <string>
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

report::Graph graph_of(const TokenProgram& program);

report::Report program_report(const TextPrograms& text, size_t token);
report::Report programs_report(const TextPrograms& text);  // of all tokens, a row each

}  // namespace fathom::dag
