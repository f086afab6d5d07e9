// Curves of runs of the run store in one picture.
#pragma once

#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

enum class PlotX { kStep, kTokens, kSeconds, kFlops };

struct PlotChoice {
  std::vector<std::string> runs;  // names or folders
  std::string metric = "eval/val/loss";
  PlotX x = PlotX::kStep;
  bool log_x = false, log_y = false;

  std::vector<std::string> metrics() const;  // what `metric` lists
};

// The picture, and what is looked for in it in numbers. Throws Error(kUsage) for a run, a metric or
// an axis that there is not, and Error for a run without numbers.
report::Report plot_runs(const PlotChoice& choice);

}  // namespace fathom
