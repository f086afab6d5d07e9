// What the DAG does while it learns (spec: DAGLogger, corrected), as metrics of every pass.
//
// B sequences, R rows, D operations, N names of operations, H channels.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "experiments/dag/recorded.h"
#include "fathom/model/model.h"

namespace fathom::dag {

// How operations are chosen, from shares p of M choices among N, H their entropy, each in [0, 1]:
//   diversity           H(mean p) / ln N              sharpness  1 - mean H(p) / ln N
//   mutual_information  (H(mean p) - mean H(p)) / ln N
// Uniform shares are (1, 0, 0), one constant operation (0, 1, 0), choices that are split evenly
// among all of them (1, 1, 1); of a single name (0, 1, 0).
struct OperationUse {
  double diversity = 0, sharpness = 0, mutual_information = 0;
};
OperationUse operation_use(const Tensor& p_MN);

// Without gradients, over the rows that are valid (`valid_R`: bool; undefined: all of them):
//
//   dag/op_share.add     mean share of an operation
//   dag/op_sharpness     as above, over rows and steps; not in `training`, for a step's is not the
//                        mean of its passes': dag/op_diversity, dag/op_mutual_info
//   dag/value/k          mean of s * e^l of what is finite: 0 what execution begins with (a stack's
//                        top, a list's first), k what operation k gave
//   dag/signed_log/k     mean of sign(v) * ln(1 + |v|) of these: no single row decides it, as one
//                        of e^60 does their mean
//   dag/gate_mean, and not in `training` dag/gate_max
//   dag/norm_original, dag/norm_dag, dag/norm_mixed     mean Euclidean norm of a row
//   dag/norm_ratio       mean of the DAG's norm by the original's, row by row
//   dag/last/norm_...    the same four of each sequence's last valid token alone
//   dag/norm_sign_logits, dag/norm_log_logits, dag/norm_op_logits     of what signs, logs and
//   shares
//                        are made of
//   dag/norm_final_values    of the result: (s, l), or the number
//   dag/clipped, dag/cancelled, dag/divided_by_zero, dag/nonfinite     share of all results of
//                        operations: of every name, whether or not it is chosen
//
// Nothing where there is no DAG; of a predictor what it chooses. R = B * T.
std::map<std::string, Metric> forward_log(const Recorded& seen, const Tensor& valid_R, int64_t B,
                                          const DagSettings& settings, bool training);

// What to call once, after the backward pass of the graph that `seen` is in; it holds the tensors
// until it is destroyed. Of slopes of the objective of that pass:
//
//   grad/op/add, grad/op/mean    by an operation's share: the mean over rows and steps; over all
//   grad/<what>/norm, .../mean, .../std     of first_signs and first_logs (s and l of what
//                                execution begins with; first_values: the numbers), and of a full
//                                model final_hidden (the DAG's output), final_values (s and l of
//                                the result, or the number), gate, original
//
// Zeros where the objective does not depend on it. Has to be made before the backward pass.
using AfterBackward = std::function<std::map<std::string, Metric>()>;
AfterBackward gradient_log(const Recorded& seen, const DagSettings& settings);

}  // namespace fathom::dag
