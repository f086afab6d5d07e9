// What a text says itself, to be set beside the programs that its tokens chose. Torch-free.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/dag/settings.h"
#include "fathom/data/numbers/expression.h"
#include "fathom/data/numbers/program.h"

namespace fathom::dag {

struct WrittenProgram {
  NumberProgram program;  // padded to the model's depth
  std::vector<bool> used;
  std::vector<double> results;  // D
};
// Of what stands before the first "=". Throws Error(kUsage) where that is no expression, or none of
// which programs are made.
WrittenProgram written_program(std::string_view text, const DagSettings& settings);

struct WrittenText {
  // Before the first "=", where that is an expression, and its value (not finite: it divides by 0,
  // or is beyond what a number holds).
  std::vector<ExpressionToken> expression;
  double value = 0;
  std::optional<WrittenProgram> program;
  // Why there is no expression or no program, or why the model cannot say the one that there is;
  // empty: it can.
  std::string reason;
};
WrittenText written_text(std::string_view text, const DagSettings& settings);

}  // namespace fathom::dag
