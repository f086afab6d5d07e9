// `fathom sizes RUN`, and `fathom sizes EXPERIMENT --untrained`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/asked/sizes_job.h"

namespace fathom {

struct SizesRequest : SizesJob {
  std::string csv;  // a file for the numbers; empty: none
  OutputRequest output;
  std::vector<std::string> notices;
};

// Nothing: help was printed.
std::optional<SizesRequest> parse_sizes(const Arguments& arguments);

}  // namespace fathom
