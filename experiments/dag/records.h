// What F.dag and F.dag_fold show to who observes the walk, each as "F.dag.<name>", those of the
// fold as "F.dag_fold.<name>"; (R, width) of the step's rows.
//
// D operations, S = D + 1 slots, N names of operations.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace fathom::dag {

inline constexpr const char* kFunction = "dag";  // of the executor: F.dag
inline constexpr const char* kSign = "sign";  // stack S, scratch 1: s of the values it begins with
inline constexpr const char* kLog = "log";    // and l
inline constexpr const char* kReal = "real";  // in their place in the linear domain
inline constexpr const char* kSignLogits = "sign_logits";  // as sign: before tanh
inline constexpr const char* kLogLogits = "log_logits";    // as log: before tanh
inline constexpr const char* kOpLogits = "op_logits";      // D * N
inline constexpr const char* kOp = "op";                   // D * N: shares
inline constexpr const char* kOperand1 = "operand1";       // D * S: of scratch
inline constexpr const char* kOperand2 = "operand2";
inline constexpr const char* kStepSign = "step_sign";  // D: what each operation gave
inline constexpr const char* kStepLog = "step_log";
inline constexpr const char* kStepReal = "step_real";
inline constexpr const char* kCounts = "counts";  // 5, of row 0: as ArithmeticCounts has them

// Of the fold.
inline constexpr const char* kFold = "dag_fold";
inline constexpr const char* kHidden = "hidden";      // H: the DAG's output, before the fold
inline constexpr const char* kGate = "gate";          // 1: of the gate
inline constexpr const char* kOriginal = "original";  // H: the stream that it is folded into
inline constexpr const char* kMixed = "mixed";        // H: what the head is given

// "F.dag.sign", "F.dag_fold.gate"
inline std::string seen_name(const char* what) {
  const std::string_view of_fold[] = {kHidden, kGate, kOriginal, kMixed};
  const bool folds = std::find(std::begin(of_fold), std::end(of_fold), what) != std::end(of_fold);
  return std::string("F.") + (folds ? kFold : kFunction) + "." + what;
}

}  // namespace fathom::dag
