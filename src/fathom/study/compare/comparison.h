// Groups of runs side by side: at the same budget, how good they are early and at the end, how they
// differ from a baseline, and whether that is more than chance. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/study/compare/curve.h"
#include "fathom/study/compare/two_samples.h"

namespace fathom {

struct ComparedRun {
  std::string name;
  std::string seed;
  Curve curve;  // at least two points
};

// Runs that differ in their seed only.
struct ComparedGroup {
  std::string name;
  // Where this is the same, runs of the same seed were shown the same data in the same order.
  std::string data;
  std::vector<ComparedRun> runs;  // at least one
};

struct ComparisonOptions {
  double confidence = 0.95;  // of intervals; a test may err in 1 minus this
  bool lower_is_better = true;
  double early = 0.1;                // share of the common budget that counts as early
  std::optional<double> level = {};  // that runs are to reach; unset: see kReached
  int64_t last = 1;                  // evaluations that the final value is the mean of
  size_t baseline = 0;               // which group
};

enum class Finding { kBaseline, kBetter, kWorse, kNotDistinguishable, kNoTest };

struct GroupResult {
  std::vector<double> values;             // of each run, in order
  std::vector<std::string> interpolated;  // runs whose value is read between two evaluations
  Summary summary;
  Difference difference;  // from the baseline; of the baseline itself: nothing
  double p = 0;           // Holm's, over the groups; NaN: no test
  Finding finding = Finding::kBaseline;
};

struct Measure {
  enum class Kind {
    kEarly,    // the value at the early budget
    kReached,  // the budget at which a level is reached: the given one, else what all runs have
               // reached after a quarter of the common budget. Less is better
    kFinal,    // the value at the common budget's end
  };
  Kind kind = Kind::kFinal;
  double budget = 0;  // at which values are read; of kReached, the level
  std::vector<GroupResult> groups;
};

// The mean of a group's runs, and the interval of the mean; of one run only the curve.
struct Band {
  std::vector<double> x, mean, low, high;
};

struct Comparison {
  double end = 0;  // of the common budget: where the first of all curves ends
  std::vector<Measure> measures;
  std::vector<Band> bands;           // as the groups
  std::vector<std::string> notices;  // what could not be told, a sentence each
};

// Groups by any budget that all curves are over. Throws Error(kUsage) where curves have no budget
// in common, and for a level that a run does not reach in it.
Comparison compare(const std::vector<ComparedGroup>& groups, const ComparisonOptions& options);

// Of two groups by values of their runs: paired where the same seeds were shown the same data, else
// Welch's.
Difference difference_of(const ComparedGroup& a, const std::vector<double>& of_a,
                         const ComparedGroup& b, const std::vector<double>& of_b,
                         double confidence);

}  // namespace fathom
