// What is told of a model's evaluation on a split.
#pragma once

#include <string>

#include "fathom/report/report.h"
#include "fathom/study/asked/eval_job.h"
#include "fathom/train/batches.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

// `e`: of the model that `state` is of, on the corpus of that name; `bytes`: of text that the
// targets stand for, 0: unknown; `same_corpus`: as it was trained on.
report::Report evaluation_report(const EvalJob& request, const RunState& state,
                                 const std::string& corpus, const Evaluation& e, double bytes,
                                 bool same_corpus);

}  // namespace fathom
