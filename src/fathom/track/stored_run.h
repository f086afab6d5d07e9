// Where a run's numbers are.
#pragma once

#include <string>
#include <vector>

#include "fathom/track/run_store.h"

namespace fathom {

struct StoredRun {
  std::string name;   // in the store
  std::string store;  // its file: beside the run's folder, also where that is not below runs_root()
};

// Of a run's name or folder; runs of the store that were killed are settled. Throws Error(kUsage)
// where there is no such run, and Error where the store does not know it.
StoredRun stored_run(const std::string& run);

// The store, to be read. Throws Error.
RunStore open_store(const StoredRun& run);

// Throws Error(kUsage) for a metric that is none of the run's, which are `names`.
[[noreturn]] void refuse_metric(const std::string& run, const std::string& metric,
                                const std::vector<std::string>& names);

}  // namespace fathom
