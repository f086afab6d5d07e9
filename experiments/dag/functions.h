// What the wirings of architecture.h call: F.dag and F.dag_fold, of each row by itself.
//
// R rows, H channels, D operations, S = D + 1 slots, N names of operations.
#pragma once

#include "experiments/dag/settings.h"
#include "fathom/model/walk/block.h"

namespace fathom::dag {

// F.dag of the scratch executor (n, p): the first number of p, the program of n; and of the stack
// (v, c): its numbers of v, the operations of c. Runs the program and gives its result as (R, H). A
// predictor, which nothing follows, runs none: it shows its choices, and gives the first argument.
Tensor run_program(const FunctionCall& call, bool predictor);

// F.dag_fold (n, q, N q): n + scale * N q; or (n, q): n + g q, with g = sigmoid(mean_H(q * w_dag) +
// mean_H(n * w_original) + b).
Tensor fold(const FunctionCall& call);

// By the names that the wirings call; none for a model without programs.
RowFunctions functions(const DagSettings& settings, bool predictor);

}  // namespace fathom::dag
