// Counts of loops and thresholds on a command line, as `eval` and `loops` take them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fathom {

// "1,5,15,30" or "[1, 5, 15, 30]": ascending, each once. Throws Error(kUsage) for what is no such
// list, and for counts below 1 or above 4096.
std::vector<int64_t> loop_counts_of(const std::string& key, const std::string& text);
// "0.1,0.01": finite, not negative, in the order given.
std::vector<double> thresholds_of(const std::string& key, const std::string& text);

}  // namespace fathom
