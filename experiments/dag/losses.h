// What the DAG is asked for: the program that a text writes down, as labels have it
// (data/numbers/numbers_data.h), and how far from it a prediction is (spec: losses, sections 10,
// 11).
//
// Texts write down programs of a stack; whoever has another executor is not asked.
//
// B sequences, T positions, R = B * T rows, P programs that are asked for, V = S values that the
// executor begins with, D operations, S = D + 1, N names of operations.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "experiments/dag/recorded.h"
#include "fathom/model/model.h"
#include "fathom/model/walk/batch.h"

namespace fathom::dag {

// Who is asked. Of a batch without labels, and of streams that have none, nobody is.
struct AskedPrograms {
  Tensor sequence_P;  // int64: whose program it is; undefined: the batch has no labels
  Tensor number_P;    // int64: which of the batch's, those of a sequence one behind the other
  // int64: the row that is to know it; undefined: a sequence is asked as a whole
  // (Targets::kSequence)
  Tensor row_P;

  int64_t count() const { return sequence_P.defined() ? sequence_P.size(0) : 0; }
};
// Per token, each one that is supervised; per sequence, each one that is one example.
AskedPrograms asked_of(const Batch& batch, Targets targets);

// The labels' programs have no more operations than the model's.
bool fits(const Batch& batch, const DagSettings& settings);

struct ProgramTargets {
  Tensor sign_PV, log_PV;  // what the stack begins with
  Tensor used_PV;  // bool: not dropped by identity; what is dropped is in no loss and no metric
  Tensor op_PD;    // int64: index in DagSettings::operations; -1: it is not there
  Tensor value_P;  // the result
  Tensor real_P, wording_P;  // int64
};
// Programs with fewer operations than the model's are padded: identities first in execution, over
// values on top that are not used. Throws Error(kUsage) for programs with more operations.
ProgramTargets targets_of(const Batch& batch, const AskedPrograms& asked,
                          const DagSettings& settings);

// What is said where it is asked for. In single precision at least.
struct SaidPrograms {
  Numbers values_PV;
  Tensor op_PDN;                      // shares
  Tensor operand1_PDS, operand2_PDS;  // shares, of scratch, which is looked at alone
};
// Of a sequence as a whole: the mean over its valid tokens.
SaidPrograms said_of(const Recorded& seen, const AskedPrograms& asked, const Batch& batch,
                     const DagSettings& settings);

struct LossWeights {
  double sign = 1, log = 1, op = 1;

  bool any() const { return sign > 0 || log > 0 || op > 0; }
};

// Denominators: used values of "sign" and "log", operations of "op".
std::map<std::string, double> structure_counts(const ProgramTargets& targets);

// The parts whose weight is not 0, each a weighted sum with its denominator:
//   sign  (s - t)^2          s = tanh(logit), t = 1 or -1
//   log   (l - ln |v|)^2
//   op    -ln(p + 1e-8)      p: the share of the right operation
// In the linear domain s = v / |target|, held to [-1, 1], and l = ln max(|v|, 1e-8).
// Without a graph they tell what each of the B sequences has of them. Throws Error(kUsage) where
// "op" asks for an operation that the model has not.
std::vector<LossPart> structure_losses(const SaidPrograms& said, const ProgramTargets& targets,
                                       const AskedPrograms& asked, int64_t B,
                                       const LossWeights& weights);

}  // namespace fathom::dag
