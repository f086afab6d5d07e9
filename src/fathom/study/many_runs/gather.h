// What the run store knows of the runs that are to be compared.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/study/compare/grouping.h"

namespace fathom {

// A run's metric, and what had been used up at each of its values.
struct GatheredRun {
  RunFacts facts;
  std::string word;  // of those that were asked for
  std::vector<double> steps, values;
  std::vector<double> tokens, flops, seconds;  // empty: the run has not stored it
};

// Every key of a config file, whatever its section, with its value as a literal, texts as they are.
// No key is unknown here, so also runs of other versions can be set beside one another. Throws
// Error where `text` is no TOML; `name` stands for it.
std::map<std::string, std::string> settings_of(const std::string& text, const std::string& name);

// Names, folders, patterns ("width-*"), recipes and names of sweeps, in order and without what is
// there twice. Throws Error(kUsage) for what there is not, with the nearest name, and for a metric
// that a run has not; a run without numbers is left out, as one of a sweep that was not begun, and
// `notices` say so, as they do of runs that are not at their end.
std::vector<GatheredRun> gather(const std::vector<std::string>& words, const std::string& metric,
                                std::vector<std::string>& notices);

}  // namespace fathom
