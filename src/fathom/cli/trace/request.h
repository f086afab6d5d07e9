// `fathom trace RUN`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/asked/trace_job.h"

namespace fathom {

struct TraceRequest : TraceJob {
  OutputRequest output;
  std::vector<std::string> notices;
};

// Nothing: help was printed.
std::optional<TraceRequest> parse_trace(const Arguments& arguments);

}  // namespace fathom
