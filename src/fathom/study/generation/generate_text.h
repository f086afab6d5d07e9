// Texts that a trained model goes on with, as they grow, on standard output.
#pragma once

#include "fathom/study/asked/generate_request.h"
#include "fathom/train/checkpoint.h"

namespace fathom {

// Writes the texts that are asked for, or, for a lookahead, the likeliest tokens there; then what
// there is to tell of them. Returns 0, or 128 and the signal where a StopSignal came, once what
// there was is written. Throws Error for a model that writes no text, and Error(kUsage) for a
// window that it cannot have.
int generate_text(const GenerateRequest& request, const LoadedModel& loaded);

}  // namespace fathom
