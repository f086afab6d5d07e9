#include "fathom/track/process_use.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <utility>

namespace fathom {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

rusage own_usage() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage;
}

double cpu_seconds(const rusage& usage) {
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The number behind `key` in a line such as "VmRSS:\t   12345 kB", in bytes.
void read_kilobytes(const std::string& line, std::string_view key, double& bytes) {
  if (line.compare(0, key.size(), key) == 0)
    bytes = 1024 * std::strtod(line.c_str() + key.size(), nullptr);
}

}  // namespace

ProcessMeter::ProcessMeter(std::string status_path)
    : status_path_(std::move(status_path)),
      cpu_seconds_(cpu_seconds(own_usage())),
      time_(std::chrono::steady_clock::now()) {}

ProcessUse ProcessMeter::read() {
  ProcessUse use;
  std::ifstream status(status_path_);
  for (std::string line; std::getline(status, line);) {
    read_kilobytes(line, "VmRSS:", use.rss_bytes);
    read_kilobytes(line, "VmHWM:", use.peak_rss_bytes);
  }
  const rusage usage = own_usage();
  // Second choice: it counts what the process was before exec, so a large parent's memory too.
  if (use.peak_rss_bytes == 0) use.peak_rss_bytes = 1024 * static_cast<double>(usage.ru_maxrss);
  // The kernel's counters are a few pages behind one another.
  peak_rss_bytes_ = std::max({peak_rss_bytes_, use.peak_rss_bytes, use.rss_bytes});
  use.peak_rss_bytes = peak_rss_bytes_;

  const auto now = std::chrono::steady_clock::now();
  const double wall = std::chrono::duration<double>(now - time_).count();
  const double cpu = cpu_seconds(usage);
  if (wall > 0) use.cpu_share = (cpu - cpu_seconds_) / wall;
  cpu_seconds_ = cpu;
  time_ = now;
  return use;
}

}  // namespace fathom
