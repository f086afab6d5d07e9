// Where a trained model's loops take the tokens of texts.
#pragma once

#include "fathom/study/asked/loops_job.h"
#include "fathom/study/loops/loop_facts.h"

namespace fathom {

// Loads the model and walks the texts that are asked for. Sets this process's threads; what is to
// be known of the corpus goes to stderr. Throws Error as loading and opening do, for a model that
// is no depth walk, and Error(kUsage) for texts that it cannot see.
LoopFacts loops_of_run(const LoopsJob& request);

}  // namespace fathom
