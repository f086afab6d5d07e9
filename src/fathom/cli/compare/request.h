// `fathom compare RUN...`
#pragma once

#include <optional>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/many_runs/compare_runs.h"

namespace fathom {

struct CompareRequest : CompareChoice {
  OutputRequest output;
};

// Nothing: help was printed.
std::optional<CompareRequest> parse_compare(const Arguments& arguments);

}  // namespace fathom
