// How well programs were predicted: signs, magnitudes and operations of the right ones, and whether
// the program that is read off, executed, gives the right result.
//
// P programs, V values that the executor begins with, D operations, S = D + 1.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "experiments/dag/losses.h"

namespace fathom::dag {

// Programs as plain numbers, a row each: the likeliest operations and operands, signs 1 and -1.
struct ReadPrograms {
  int64_t P = 0, V = 0, D = 0;
  std::vector<double> sign, log;            // P * V
  std::vector<int64_t> op;                  // P * D: index in DagSettings::operations
  std::vector<int64_t> operand1, operand2;  // P * D: slots, of scratch

  double value(int64_t p, int64_t v) const;  // sign * e^log
};
ReadPrograms read_off(const SaidPrograms& said);

// What each operation of program p gives in real arithmetic, D of them: the last one is the result.
// What has none (a division by 0) is not finite.
std::vector<double> hard_steps(const ReadPrograms& programs, int64_t p,
                               const DagSettings& settings);

// Means over what was asked, with the names
//
//   op_accuracy           operations, one by one       full_program_match  all D of a program
//   sign_accuracy         of used values               magnitude_error     |e^l - |v|| / max(|v|,
//   1e-8) log_mse               (l - ln |v|)^2, of both of used values execution_1e-6,
//   execution_0.01   programs whose result, read off and executed in real arithmetic,
//                         is within max(1e-6, rtol |true|) of the true one
//   result_sign_accuracy  of the result's sign, 0 counting as positive
//
// and, where `details`:
//
//   <name>_baseline       the same of what knows nothing of the text: for each half of the batch's
//                         sequences (even and odd ones) the constant that suits the other half
//                         best: the most frequent operation of each step; program; sign of each
//                         value, and of the result; mean of ln |v| over the used values in each
//                         place; and for execution the result that is right most often. None of one
//                         sequence.
//   <name>.ops2           of programs with 2 real operations
//   <name>.words          of texts that are worded so: symbols, mixed, words
//   execution_0.01.nonzero    of programs whose true result is not 0, which a regression of values
//                         that cancel does not reach; and of 1e-6
//   op_accuracy.add, execution_0.01.add     operations that are to be add; programs with one
//   op_target.add         share of add among the operations asked for
//
// An operation that the model has not is never right.
std::map<std::string, Metric> program_metrics(const SaidPrograms& said,
                                              const ProgramTargets& targets,
                                              const AskedPrograms& asked,
                                              const DagSettings& settings, bool details);

}  // namespace fathom::dag
