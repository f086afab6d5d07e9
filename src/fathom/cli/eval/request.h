// `fathom eval RUN`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/asked/eval_job.h"

namespace fathom {

struct EvalRequest : EvalJob {
  OutputRequest output;
  std::vector<std::string> notices;  // keys that have no effect
};

// Nothing: help was printed.
std::optional<EvalRequest> parse_eval(const Arguments& arguments);

}  // namespace fathom
