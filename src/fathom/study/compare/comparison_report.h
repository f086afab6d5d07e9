// Comparisons as people and programs read them.
#pragma once

#include <string>
#include <vector>

#include "fathom/report/report.h"
#include "fathom/study/compare/comparison.h"

namespace fathom {

// The same groups by one budget.
struct ByBudget {
  std::string budget;  // "steps", "tokens", "FLOPs", "seconds"
  Comparison comparison;
};

struct ComparisonFacts {
  std::string metric;  // "eval/val/loss"
  std::vector<ComparedGroup> groups;
  ComparisonOptions options;
  std::vector<ByBudget> by;
  std::vector<std::string> notices;
};

// Tables and sentences of every budget, curves with bands of the first one in the terminal and of
// all elsewhere; all numbers as JSON.
report::Report comparison_report(ComparisonFacts facts);

// "b is better than a", "b: not distinguishable from a at this n (3 and 3): ...".
std::string finding_sentence(const ComparisonFacts& facts, const Measure& measure, size_t group);
const char* finding_name(Finding finding);  // "better", ...

}  // namespace fathom
