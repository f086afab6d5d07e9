// `fathom loops RUN`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/asked/loops_job.h"

namespace fathom {

struct LoopsRequest : LoopsJob {
  // Files for the trajectories, for how far states go, and for single numbers; empty: none.
  std::string csv, convergence_csv, numbers_csv;
  OutputRequest output;
  std::vector<std::string> notices;
};

// Nothing: help was printed.
std::optional<LoopsRequest> parse_loops(const Arguments& arguments);

}  // namespace fathom
