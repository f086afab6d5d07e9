// An imported model as a run.
#pragma once

#include <string>

#include "fathom/exchange/hugging_face.h"
#include "fathom/track/run_folder.h"

namespace fathom {

// Into the run's folder, which is held: the checkpoint `last` and config.toml. The whole checkpoint
// lies there before anything of the folder changes; then, with `clear`, all that was in it goes,
// and in any case the numbers that the store has of a run of that name. Throws Error.
void write_imported_run(RunFolder& folder, const std::string& run_name, bool clear,
                        const RunState& state, const ImportedModel& model);

}  // namespace fathom
