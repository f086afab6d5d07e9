// What runs there are, from the run store.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

struct RunListChoice {
  std::vector<std::string> patterns;  // of names, as the shell's; empty: all
  int64_t most = 20;                  // the newest ones; 0: all
};

// A row a run, newest first: preset, data, steps, losses, state. Where the store is missing there
// are none, and a sentence says so. Throws Error for a store that cannot be read, and Error(kUsage)
// for a pattern that no run's name is as.
report::Report list_runs(const RunListChoice& choice);

}  // namespace fathom
