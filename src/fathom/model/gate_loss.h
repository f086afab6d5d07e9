// What teaches the gate that a loop halts by (spec/halting_gate.h).
//
// With g_k the gate on the state x_k after iteration k of K, a row that followed it would leave
// after iteration k with the probability
//
//   p_k = g_k (1 - g_1) ... (1 - g_{k-1}),   p_K = (1 - g_1) ... (1 - g_{K-1})
//
// and the objective is, over the rows with a target (weighted as the batch says),
//
//   mean of  sum_k p_k c_k  -  weight * H(p),   c_k = -ln p(target | x_k),  H(p) = -sum_k p_k ln
//   p_k
//
// the expected cross entropy of its answer, and an entropy that keeps p from settling on one k too
// early (Banino et al. 2021, Zhu et al. 2025). c_k is read from the state by LoopEnd::readout;
// states and c_k are detached: the gate learns and nothing else does, so a model with a gate is
// trained as one without. A sequence that enters the loop late has its first iteration there.
#pragma once

#include "fathom/model/supervision.h"

namespace fathom {

// The part's name, one for all gates.
inline constexpr const char* kGateLoss = "halting_gate";

bool has_halting_gates(const DepthProgram& program);
// What the walk has to show: "iteration.g" of loops with a gate.
void keep_iterations(const DepthProgram& program, Kept& kept);
// Of a dense walk, in the graph of the gates. What its readings cost is added to `flops`. Throws
// Error(kUsage) where nothing reads a loop's state.
LossPart gate_loss(const WalkedBatch& walked, double* flops);

}  // namespace fathom
