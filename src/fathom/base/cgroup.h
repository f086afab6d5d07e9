// What control groups (both versions) leave this process of the machine. The parsers take the text
// of such a file; on a text that they do not understand they answer "nothing", for a machine may
// lack any of these files. Nothing here throws.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// The text of a file; empty if it cannot be read.
using FileReader = std::function<std::string(const std::string& path)>;
std::string read_system_file(const std::string& path);

// Processors worth of time: of cgroup v2's cpu.max, and of v1's cpu.cfs_quota_us and
// cpu.cfs_period_us. Nothing: no limit.
std::optional<double> parse_cpu_max(std::string_view text);
std::optional<double> parse_cfs_quota(std::string_view quota, std::string_view period);

// The folders whose limits of `controller` ("cpu", "memory") bind this process, its own first and
// then its parents up to the mount point; from /proc/self/cgroup and /proc/self/mountinfo.
struct CgroupFolder {
  std::string path;
  bool unified = false;  // cgroup v2
};
std::vector<CgroupFolder> cgroup_folders(std::string_view cgroup, std::string_view mountinfo,
                                         std::string_view controller);
std::vector<CgroupFolder> own_cgroup_folders(const FileReader& read, std::string_view controller);

// The tightest of the limits that cgroups put on this process's processor time.
std::optional<double> cpu_quota(const FileReader& read = read_system_file);

}  // namespace fathom
