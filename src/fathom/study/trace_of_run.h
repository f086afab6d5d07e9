// Which layer of a trained model answered each token of a text.
#pragma once

#include "fathom/study/asked/trace_job.h"
#include "fathom/study/tables/exit_table.h"

namespace fathom {

// Loads the model and traces the text that is asked for. Sets this process's threads; progress and
// what is to be known of text and corpus go to stderr. Throws Error as loading and opening do and
// for a model that is no depth walk, and Error(kUsage) for a text that is not there.
ExitTable trace_of_run(const TraceJob& request);

}  // namespace fathom
