// Questions with endings to choose from, put to one model.
#pragma once

#include "fathom/report/report.h"
#include "fathom/study/asked/eval_job.h"
#include "fathom/study/chosen_model.h"

namespace fathom {

// Throws Error for a model whose tokens have no text, and as score_choices() does.
report::Report eval_choices(const EvalJob& request, const LoadedModel& loaded, at::Device device);

}  // namespace fathom
