// An imported model as a run.
#pragma once

#include <string>

#include "fathom/exchange/hugging_face.h"
#include "fathom/track/run_folder.h"

namespace fathom {

struct ImportRequest {
  std::string folder;    // in Hugging Face's layout
  std::string run_name;  // settled
  std::string exp = "gpt2";
  std::string dataset;  // empty: none
  bool force = false;
};

// Into the run's folder, which is held: the checkpoint `last` and config.toml. The whole checkpoint
// lies there before anything of the folder changes; then, with `clear`, all that was in it goes,
// and in any case the numbers that the store has of a run of that name. Throws Error.
void write_imported_run(RunFolder& folder, const std::string& run_name, bool clear,
                        const RunState& state, const ImportedModel& model);

// Throws Error(kUsage) where the run cannot stand.
void check_place(const ImportRequest& request);
// Reads the model, makes the run and tells of it on standard output. Throws Error.
void import_run(const ImportRequest& request);

}  // namespace fathom
