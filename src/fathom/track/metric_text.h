// Metrics as people read them.
#pragma once

#include <map>
#include <string>

namespace fathom {

// "infer 1.8633, exit_rate [0.056 0.023 0.008 0.913]": metrics that are called name/0, name/1, ...
// are shown as one list, shares (names with "rate", "accuracy" or "correct") with three decimals,
// other numbers with four. In the order of their names, lists last.
std::string metrics_text(const std::map<std::string, double>& metrics);

}  // namespace fathom
