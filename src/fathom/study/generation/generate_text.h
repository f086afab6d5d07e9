// Texts that a trained model goes on with, as they grow, on standard output.
#pragma once

#include "fathom/study/asked/generate_request.h"

namespace fathom {

// Loads the model and writes the texts that are asked for, or, for a lookahead, the likeliest
// tokens there; then what there is to tell of them. Sets this process's threads. Returns 0, or 128
// and the signal that came meanwhile, once what there was by then is written. Throws Error as
// loading does and for a model that writes no text, and Error(kUsage) for a window that it cannot
// have.
int generate_text(const GenerateRequest& request);

}  // namespace fathom
