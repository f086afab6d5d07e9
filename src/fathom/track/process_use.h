// What this process takes of the machine: processors and memory, as logged beside the losses.
#pragma once

#include <chrono>
#include <limits>
#include <string>
#include <vector>

#include "fathom/track/run_store.h"

namespace fathom {

constexpr double kUnknownUse = std::numeric_limits<double>::quiet_NaN();

// What cannot be told is NaN.
struct ProcessUse {
  // Processor seconds of all threads per second of wall time, since the last reading (the first
  // one: since the meter was made). 1.0 is one core, busy all the time.
  double cpu_share = kUnknownUse;
  double rss_bytes = kUnknownUse;       // resident memory now; needs /proc
  double peak_rss_bytes = kUnknownUse;  // its highest value in the life of the process; never falls

  // process/cpu_share, process/rss_bytes, process/peak_rss_bytes: those that can be told.
  std::vector<MetricValue> values() const;
};

// Belongs to one thread. Nothing here throws Error.
class ProcessMeter {
 public:
  // `status_path` is another file in tests only.
  explicit ProcessMeter(std::string status_path = "/proc/self/status");

  ProcessUse read();  // takes some 50 microseconds

 private:
  std::string status_path_;
  double cpu_seconds_;
  double peak_rss_bytes_ = kUnknownUse;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace fathom
