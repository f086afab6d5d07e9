// The DAG as data: one more layer, behind the last block in front of the head, or between two
// blocks. Torch-free.
//
//   scratch   p = n + A(N n); p = p + M(N p); d = F.dag(n, N p)
//   stack     v and s likewise, a block each;  d = F.dag(v, N A(s, v, v))
//   behind    q = d + A(N d); q = q + M(N q); r = F.dag_fold(n, q, N q), or F.dag_fold(n, q)
//
// n is what the head of the plain model would be given: its last norm is the layer's norm at the
// door, and the head is given r as it is. The predictor has the first two lines alone, and no head.
// Between blocks (dag_after) n is a norm of its own, results are folded into the stream itself,
// r = F.dag_fold(r, q, N q), and head and last norm are the plain model's.
//
// H channels, D operations, S = D + 1 slots, N names of operations, 66 features of a number.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "experiments/dag/settings.h"
#include "fathom/model/spec/architecture.h"

namespace fathom::dag {

inline constexpr const char* kModelName = "dag";  // of the architectures, and of their sections
inline constexpr const char* kPredictorName = "dag_predictor";
inline constexpr int64_t kFeatures = 66;  // executors.h: features_of()

std::shared_ptr<const Architecture> architecture(bool predictor);

std::string names_of(const std::vector<Operation>& operations);  // "add, identity"

// What begins as initialised where a full model starts from all weights of the plain one: what only
// the DAG has. Nothing of another model. Throws Error(kUsage) for a predictor, and for a plain
// model that has other parts than this one without its DAG.
std::vector<std::string> begins_anew(const ModelConfig& ours, const ModelConfig& theirs);

// What a full model takes from a trained predictor: all that makes its programs, and with
// dag_take_tables the tables of tokens and positions that both have. The norm behind the
// predictor's blocks is none of it. Throws Error(kUsage) that names both where `theirs` is no
// predictor, or where they have not the same executor, domain, dag_depth, dag_ops, n_embd, n_head,
// biases, activation and norm_eps.
std::vector<PartName> predictor_parts(const ModelConfig& ours, const ModelConfig& theirs);
// That these weights choose otherwise here, by another dag_select or temperature.
std::vector<std::string> told_of_predictor(const ModelConfig& ours, const ModelConfig& theirs);

}  // namespace fathom::dag
