// Programs of many rows over plain memory, each in one pass over its slots, forward and backward,
// in the sign/log domain and single precision. Torch-free.
//
// R rows, D operations, S = D + 1 slots, N names of operations. What each operation means is said
// in arithmetic.h, which operands it takes in executors.h.
#pragma once

#include <cstdint>
#include <vector>

#include "experiments/dag/settings.h"

namespace fathom::dag {

// Everything one behind the other.
struct RowPrograms {
  int64_t R = 0, D = 0;
  std::vector<Operation> operations;  // N
  Clip clip = Clip::kClamp;
  double log_limit = 60;
  const float *sign = nullptr, *log = nullptr;  // (R, S) of a stack, (R) of a scratch list
  // (R, D, S): a scratch list, of whose row k slots 0 .. k are read. Null: a stack.
  const float *operand1 = nullptr, *operand2 = nullptr;
  const float* op = nullptr;  // (R, D, N)

  bool is_stack() const { return operand1 == nullptr; }
  int64_t slots() const { return D + 1; }
  int64_t values() const { return is_stack() ? slots() : 1; }
  int64_t names() const { return static_cast<int64_t>(operations.size()); }
};

// What each operation gave: D times (R). As gradients, null means zeros.
template <class Float>
struct RowSteps {
  std::vector<Float*> sign, log;
};

// Over all rows, steps and names of operations, as ArithmeticCounts has them.
struct RowCounts {
  int64_t results = 0, clamped = 0, cancelled = 0, divided_by_zero = 0, nonfinite = 0;
};

// Of the inputs of the same names, which are set, not added to; null: not wanted.
struct RowGradients {
  float *sign = nullptr, *log = nullptr, *operand1 = nullptr, *operand2 = nullptr, *op = nullptr;
};

// Both on all threads; a row's bits do not depend on their number nor on the rows beside it.
// `counts` may be null.
void run_programs(const RowPrograms& programs, const RowSteps<float>& steps, RowCounts* counts);
// `steps` as run_programs() left them, from which everything else is computed again.
void run_programs_backward(const RowPrograms& programs, const RowSteps<const float>& steps,
                           const RowSteps<const float>& d_steps, const RowGradients& gradients);

}  // namespace fathom::dag
