// The tables of the run store's file, and opening it. Internal to track/.
#pragma once

#include <memory>
#include <string>

#include "fathom/track/run_store.h"
#include "fathom/track/sqlite.h"

namespace fathom {

// The database, ready for use, at `path`; created with its folder if there is none and the options
// do not forbid it. Throws Error: not one of ours, damaged, of a newer fathom; StoreLocked.
std::unique_ptr<Database> open_store(const std::string& path, const RunStoreOptions& options);

}  // namespace fathom
