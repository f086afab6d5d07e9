// A run's numbers for other programs, every value in full precision.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "fathom/track/run_store.h"

namespace fathom {

// kCsv: RFC 4180, but for bare newlines: a header of `step` and the metrics' names, a row for each
// step that has values, empty cells where a metric has none. kJsonl: an object for each step with
// the metrics it has. What is no number is NaN, Infinity or -Infinity, in JSON as a string.
enum class MetricFormat { kCsv, kJsonl };

struct ExportedMetrics {
  int64_t steps = 0;
  size_t metrics = 0;
};
// `write` is given line after line. Throws Error for a run without numbers, before the first one.
ExportedMetrics export_metrics(const RunStore& store, const std::string& run, MetricFormat format,
                               const std::function<void(std::string_view)>& write);

// Of the run that a name or a folder names, to standard output or into a file, which appears, or is
// replaced, when all is written, and is told then. Throws Error, and Error(kUsage) for what is not
// to be replaced.
void export_numbers(const std::string& named, MetricFormat format, const std::string& output);

}  // namespace fathom
