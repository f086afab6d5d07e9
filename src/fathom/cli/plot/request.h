// `fathom plot RUN...`
#pragma once

#include <optional>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"
#include "fathom/study/many_runs/plot_runs.h"

namespace fathom {

struct PlotRequest : PlotChoice {
  OutputRequest output;
};

// Nothing: help was printed.
std::optional<PlotRequest> parse_plot(const Arguments& arguments);

}  // namespace fathom
