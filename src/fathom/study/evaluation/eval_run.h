// A trained model, evaluated as it was asked for.
#pragma once

#include "fathom/report/report.h"
#include "fathom/study/asked/eval_job.h"

namespace fathom {

// Loads the model and evaluates it over a split, at several depths (eval_depths.h), or on a file of
// questions (eval_choices.h) or problems (eval_problems.h). Sets this process's threads; progress
// and what is to be known of the corpus go to stderr. Throws Error as loading and opening do, for a
// loss that is not finite, and Error(kUsage) where several corpora would be measured at once.
report::Report eval_run(const EvalJob& request);

}  // namespace fathom
