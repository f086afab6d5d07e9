// How large the carry of a model, trained or as it begins, and what blocks add to it become.
#pragma once

#include "fathom/study/asked/sizes_job.h"
#include "fathom/study/sizes/size_facts.h"

namespace fathom {

// Loads or makes the model and measures the batches that are asked for. Sets this process's
// threads; what is to be known of the corpus goes to stderr. Throws Error as loading and opening do
// and for a model that is no depth walk.
SizeFacts sizes_of_run(const SizesJob& request);

}  // namespace fathom
