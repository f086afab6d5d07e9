// What F.dag showed in one pass, by name and in the order of its shapes.
//
// R rows, D operations, S = D + 1 slots, N names of operations, V values that the executor begins
// with (stack: S, scratch: 1), H channels.
#pragma once

#include <string>
#include <vector>

#include "experiments/dag/arithmetic.h"
#include "fathom/model/walk/observer.h"

namespace fathom::dag {

// Tensors as they were recorded, in the graph where there is one; undefined: it has none of it.
struct Recorded {
  Numbers values_RV;
  Tensor sign_logits_RV, log_logits_RV;  // of signlog
  Tensor op_RX, op_logits_RX;            // D * N: shares, and what they are the softmax of
  Tensor operand1_RX, operand2_RX;       // D * S: shares, of scratch
  // Of a full model:
  Numbers steps_RD;  // what each operation gave
  Tensor counts_RX;  // 5, as ArithmeticCounts has them
  Tensor hidden_RH, original_RH, mixed_RH;
  Tensor gate_R1;  // of the gate

  Tensor op_RDN(const DagSettings& settings) const;
};

// The names that F.dag shows under these settings and that its losses and logs read: none without
// a DAG. `predictor`: it executes nothing, and folds nothing back.
std::vector<std::string> recorded_names(const DagSettings& settings, bool predictor);

// Of the last of so many steps that has a DAG. Throws Error for a name that was not seen there.
Recorded recorded(const Kept& kept, int steps, const DagSettings& settings, bool predictor);

}  // namespace fathom::dag
