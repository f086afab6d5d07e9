// The program that each token chose, as plain numbers, read out of a walk that is over. Seen
// without torch.
//
// V values that the executor begins with (stack: S, the last is its top; scratch: 1), D operations,
// S = D + 1, N names of operations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "experiments/dag/settings.h"

namespace fathom {
class Kept;
class Rows;
}  // namespace fathom

namespace fathom::dag {

struct TokenProgram {
  int64_t position = 0;
  std::vector<double> values;                   // V: s * e^l
  std::vector<double> value_logs, value_signs;  // V; of the linear domain ln |v| and 1 or -1
  std::vector<std::string> operations;          // D: the likeliest ones
  std::vector<double> operation_shares;         // D: theirs
  std::vector<std::vector<double>> all_shares;  // D x N: in the order of DagSettings::operations
  // D, of scratch: the likeliest slots, and their shares.
  std::vector<size_t> operand1, operand2;
  std::vector<double> operand1_shares, operand2_shares;
  // What each operation gave: mixed by all shares, as the model went on with it (empty: a
  // predictor, which executes nothing), and of the likeliest operations and operands alone, with
  // signs of 1 and -1, in real arithmetic (not finite: a division by 0).
  std::vector<double> step_values;  // D
  std::vector<double> hard_values;  // D
  double gate = 0;                  // of the gate; else 0
};

// Of each row of the last of so many steps that has a DAG, in order. Throws Error where `kept` has
// not what recorded_names() (recorded.h) asks for.
std::vector<TokenProgram> token_programs(const Kept& kept, int steps, const Rows& rows,
                                         const DagSettings& settings, bool predictor);

}  // namespace fathom::dag
