#include "fathom/track/process_use.h"

#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

namespace fathom {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

std::optional<rusage> own_usage() {
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? std::optional<rusage>(usage) : std::nullopt;
}

double cpu_seconds(const std::optional<rusage>& usage) {
  return usage ? seconds(usage->ru_utime) + seconds(usage->ru_stime) : kUnknownUse;
}

// The number behind `key` in a line such as "VmRSS:\t   12345 kB", in bytes.
void read_kilobytes(const std::string& line, std::string_view key, double& bytes) {
  if (line.compare(0, key.size(), key) != 0) return;
  const double kilobytes = std::strtod(line.c_str() + key.size(), nullptr);
  if (kilobytes > 0) bytes = 1024 * kilobytes;  // else there is no number
}

}  // namespace

std::vector<MetricValue> ProcessUse::values() const {
  std::vector<MetricValue> known;
  for (const auto& [name, value] : {std::pair{"process/cpu_share", cpu_share},
                                    {"process/rss_bytes", rss_bytes},
                                    {"process/peak_rss_bytes", peak_rss_bytes}})
    if (!std::isnan(value)) known.push_back({name, value});
  return known;
}

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
  const std::optional<rusage> usage = own_usage();
  // Second choice: it counts what the process was before exec, so a large parent's memory too.
  if (std::isnan(use.peak_rss_bytes) && usage && usage->ru_maxrss > 0)
    use.peak_rss_bytes = 1024 * static_cast<double>(usage->ru_maxrss);
  // The kernel's counters are a few pages behind one another. A NaN gives way.
  peak_rss_bytes_ = std::fmax(peak_rss_bytes_, std::fmax(use.peak_rss_bytes, use.rss_bytes));
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
