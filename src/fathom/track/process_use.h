// What this process takes of the machine: processors and memory, as logged beside the losses.
#pragma once

#include <chrono>
#include <string>

namespace fathom {

struct ProcessUse {
  // Processor seconds of all threads per second of wall time, since the last reading (the first
  // one: since the meter was made). 1.0 is one core, busy all the time.
  double cpu_share = 0;
  double rss_bytes = 0;       // resident memory now; 0 where the system has no /proc
  double peak_rss_bytes = 0;  // its highest value in the life of the process; never falls
};

// Belongs to one thread. Nothing here throws Error: what cannot be told is 0.
class ProcessMeter {
 public:
  // `status_path` is another file in tests only.
  explicit ProcessMeter(std::string status_path = "/proc/self/status");

  ProcessUse read();  // takes some 50 microseconds

 private:
  std::string status_path_;
  double cpu_seconds_;
  double peak_rss_bytes_ = 0;
  std::chrono::steady_clock::time_point time_;
};

}  // namespace fathom
