// Executors: a token's whole program, over its slots, for all rows at once.
//
// R rows, D operations, S = D + 1 slots, N names of operations. Shapes that do not fit are Errors.
// Numbers are computed in single precision at least.
#pragma once

#include <vector>

#include "experiments/dag/arithmetic.h"

namespace fathom::dag {

struct ExecutorOptions {
  ArithmeticOptions arithmetic;
  std::vector<Operation> operations;  // N, as the shares have them
  bool count = false;                 // Executed::counts
};

struct Executed {
  Numbers value;               // (R): the result
  std::vector<Numbers> steps;  // (R) each: what every operation gave, in order; the last is `value`
  ArithmeticCounts counts;
};

// A stack of `values` (R, S), the last of which is its top: operation k joins the two topmost, the
// deeper one first. op_RDN: shares. s and l of the operations' results are mixed by their shares.
Executed run_stack(const Numbers& values, const Tensor& op_RDN, const ExecutorOptions& options);

// An append-only list that begins with `first` (R): step k has slots 0 .. k for operands, mixed by
// their shares (R, D, S), which are 0 for later slots, and appends its result as slot k + 1.
Executed run_scratch(const Numbers& first, const Tensor& operand1_RDS, const Tensor& operand2_RDS,
                     const Tensor& op_RDN, const ExecutorOptions& options);

// The same in one pass over the rows, forward and backward, on the processor in single precision
// and in the sign/log domain; what run_stack() and run_scratch() take where they can. `plain_*` are
// the definitions.
bool has_fused_executor(const Numbers& values, const ExecutorOptions& options);
Executed plain_run_stack(const Numbers& values, const Tensor& op_RDN,
                         const ExecutorOptions& options);
Executed plain_run_scratch(const Numbers& first, const Tensor& operand1_RDS,
                           const Tensor& operand2_RDS, const Tensor& op_RDN,
                           const ExecutorOptions& options);
Executed fused_run_stack(const Numbers& values, const Tensor& op_RDN,
                         const ExecutorOptions& options);
Executed fused_run_scratch(const Numbers& first, const Tensor& operand1_RDS,
                           const Tensor& operand2_RDS, const Tensor& op_RDN,
                           const ExecutorOptions& options);

// (R) -> (R, 66): [s, l, cos(2 pi f_j l), sin(2 pi f_j l)], f_j from top / 256 to
// top in equal ratios, j = 0 .. 31 (the notebook's were all 1); of the
// linear domain (R, 1), the number itself.
Tensor features_of(const Numbers& value, double top);

}  // namespace fathom::dag
