// `fathom compare RUN...`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/output_request.h"
#include "fathom/config/command_line.h"

namespace fathom {

enum class CompareBy { kAll, kStep, kTokens, kFlops, kSeconds };
enum class GroupBy { kSettings, kWord };
enum class Better { kAuto, kLower, kHigher };

struct CompareRequest {
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
  OutputRequest output;

  bool lower_is_better() const;
};

// Nothing: help was printed.
std::optional<CompareRequest> parse_compare(const Arguments& arguments);

}  // namespace fathom
