// What this machine is and has to give, read from /proc, /sys and the file system. The parsers take
// the text of such a file; on a text that they do not understand they answer "nothing", for a
// machine may lack any of these files. Nothing here throws.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// The text of a file; empty if it cannot be read.
using FileReader = std::function<std::string(const std::string& path)>;
std::string read_system_file(const std::string& path);

// Parsers -----------------------------------------------------------------------------------------

std::string cpu_model(std::string_view cpuinfo);         // of /proc/cpuinfo; empty: not said
int count_cpu_list(std::string_view list);               // "0-3,8" -> 5; 0: not a list
std::optional<double> load_average(std::string_view s);  // of the last minute, /proc/loadavg
// Processors worth of time: of cgroup v2's cpu.max, and of v1's cpu.cfs_quota_us and
// cpu.cfs_period_us. Nothing: no limit.
std::optional<double> parse_cpu_max(std::string_view text);
std::optional<double> parse_cfs_quota(std::string_view quota, std::string_view period);
// Of memory.max or memory.limit_in_bytes. Nothing: no limit (v1 says so by a huge number).
std::optional<uint64_t> parse_memory_limit(std::string_view text);

struct Memory {
  uint64_t total = 0, available = 0;  // bytes
};
std::optional<Memory> parse_meminfo(std::string_view meminfo);

// Paths of the shared libraries in /proc/<pid>/maps, each once, in order of address.
std::vector<std::string> mapped_libraries(std::string_view maps);

// The folders whose limits of `controller` ("cpu", "memory") bind this process, its own first and
// then its parents up to the mount point; from /proc/self/cgroup and /proc/self/mountinfo.
struct CgroupFolder {
  std::string path;
  bool unified = false;  // cgroup v2
};
std::vector<CgroupFolder> cgroup_folders(std::string_view cgroup, std::string_view mountinfo,
                                         std::string_view controller);

// Readings ----------------------------------------------------------------------------------------

// The tightest of the limits that cgroups put on this process.
std::optional<double> cpu_quota(const FileReader& read);
// MemAvailable, or what the cgroups leave of their limit if that is less; total likewise.
std::optional<Memory> free_memory(const FileReader& read);

// Of this processor, by the names gcc gives them: of those that fathom's libraries make use of.
std::vector<std::string> instruction_sets();

struct Machine {
  std::string cpu;
  std::vector<std::string> instruction_sets;
  int allowed = 1, online = 1;  // processors of the affinity mask, and of the machine
  std::optional<double> quota, load;
  std::optional<Memory> memory;
};
Machine read_machine(const FileReader& read = read_system_file);

// A folder that is to be written to. It need not exist: then its nearest parent that does is tried,
// by creating a file there that is removed at once.
struct FolderReading {
  std::string path;
  bool exists = false;
  std::string problem;  // why nothing can be written; empty: it can
  uint64_t free_bytes = 0;
};
FolderReading read_folder(const std::string& path);

}  // namespace fathom
