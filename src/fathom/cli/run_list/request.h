// `fathom runs`
#pragma once

#include <optional>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/many_runs/list_runs.h"

namespace fathom {

struct RunListRequest : RunListChoice {
  OutputRequest output;
};

// Nothing: help was printed.
std::optional<RunListRequest> parse_runs(const Arguments& arguments);

}  // namespace fathom
