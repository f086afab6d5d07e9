// `fathom plot RUN...`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"

namespace fathom {

enum class PlotX { kStep, kTokens, kSeconds, kFlops };

struct PlotRequest {
  std::vector<std::string> runs;  // names or folders
  std::string metric = "eval/val/loss";
  PlotX x = PlotX::kStep;
  bool log_x = false, log_y = false;
  OutputRequest output;

  std::vector<std::string> metrics() const;  // what `metric` lists
};

// Nothing: help was printed.
std::optional<PlotRequest> parse_plot(const Arguments& arguments);

}  // namespace fathom
