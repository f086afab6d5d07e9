// What this machine is and has to give, read from /proc, /sys and the file system. The parsers take
// the text of such a file; on a text that they do not understand they answer "nothing", for a
// machine may lack any of these files. Nothing here throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/cgroup.h"

namespace fathom {

// Parsers -----------------------------------------------------------------------------------------

std::string cpu_model(std::string_view cpuinfo);         // of /proc/cpuinfo; empty: not said
int count_cpu_list(std::string_view list);               // "0-3,8" -> 5; 0: not a list
std::optional<double> load_average(std::string_view s);  // of the last minute, /proc/loadavg
// Of memory.max or memory.limit_in_bytes. Nothing: no limit (v1 says so by a huge number).
std::optional<uint64_t> parse_memory_limit(std::string_view text);

struct Memory {
  uint64_t total = 0, available = 0;  // bytes
};
std::optional<Memory> parse_meminfo(std::string_view meminfo);

// Paths of the shared libraries in /proc/<pid>/maps, each once, in order of address.
std::vector<std::string> mapped_libraries(std::string_view maps);

// Readings ----------------------------------------------------------------------------------------

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
