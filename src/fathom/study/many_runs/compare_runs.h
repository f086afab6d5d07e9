// Runs of the run store side by side at equal budgets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

enum class CompareBy { kAll, kStep, kTokens, kFlops, kSeconds };
enum class GroupBy { kSettings, kWord };
enum class Better { kAuto, kLower, kHigher };

struct CompareChoice {
  std::vector<std::string> runs;  // names, folders, patterns, sweeps
  std::string metric = "eval/val/loss";
  CompareBy by = CompareBy::kAll;
  GroupBy group = GroupBy::kSettings;
  std::string baseline;  // a group or one of its runs; empty: the first
  Better better = Better::kAuto;
  double confidence = 0.95;
  double early = 0.1;
  std::optional<double> level;
  int64_t last = 1;

  bool lower_is_better() const;
};

// Throws Error(kUsage) for runs, a metric or a budget that there is not, and Error where nothing is
// left to compare.
report::Report compare_runs(const CompareChoice& choice);

}  // namespace fathom
