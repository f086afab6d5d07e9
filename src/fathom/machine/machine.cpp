#include "fathom/machine/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "fathom/base/lines.h"
#include "fathom/base/processors.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// The value of `key` in lines of "key value" or "key: value kB".
std::optional<uint64_t> keyed_number(std::string_view text, std::string_view key) {
  std::optional<uint64_t> found;
  for_each_line(text, [&](std::string_view line) {
    if (line.substr(0, key.size()) != key) return;
    line = trim(line.substr(key.size()));
    const bool kib = line.size() > 3 && line.substr(line.size() - 3) == " kB";
    if (kib) line.remove_suffix(3);
    const auto number = parse_number<uint64_t>(line);
    if (number && !found && *number < UINT64_MAX / 1024) found = *number * (kib ? 1024 : 1);
  });
  return found;
}

// Why no file can be created in `folder`; empty: it can.
std::string try_to_write(const std::string& folder) {
  std::string name = folder + "/.fathom-doctor-XXXXXX";
  const int fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return fmt::format("nothing can be written in {}: {}", folder, strerror(errno));
  const bool written = write(fd, "\n", 1) == 1;
  const int error = errno;
  close(fd);
  unlink(name.c_str());
  if (written) return "";
  return fmt::format("a file in {} cannot be written to: {}", folder, strerror(error));
}

}  // namespace

std::string cpu_model(std::string_view cpuinfo) {
  std::string model;
  for_each_line(cpuinfo, [&](std::string_view line) {
    const size_t colon = line.find(':');
    if (!model.empty() || colon == std::string_view::npos) return;
    if (trim(line.substr(0, colon)) == "model name") model = trim(line.substr(colon + 1));
  });
  return model;
}

int count_cpu_list(std::string_view list) {
  int64_t count = 0;
  for (const std::string_view part : split(trim(list), ',')) {
    const size_t dash = part.find('-');
    const auto first = parse_number<int>(part.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_number<int>(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first) return 0;
    count += int64_t{*last} - *first + 1;
  }
  return count <= 1 << 20 ? static_cast<int>(count) : 0;
}

std::optional<double> load_average(std::string_view s) {
  const auto load = parse_number<double>(s.substr(0, s.find(' ')));
  return load && *load >= 0 && *load < 1e9 ? load : std::nullopt;
}

std::optional<uint64_t> parse_memory_limit(std::string_view text) {
  const auto limit = parse_number<uint64_t>(text);
  return limit && *limit < uint64_t{1} << 60 ? limit : std::nullopt;
}

std::optional<Memory> parse_meminfo(std::string_view meminfo) {
  const auto total = keyed_number(meminfo, "MemTotal:");
  const auto available = keyed_number(meminfo, "MemAvailable:");
  if (!total || !available) return std::nullopt;
  return Memory{*total, *available};
}

std::vector<std::string> mapped_libraries(std::string_view maps) {
  std::vector<std::string> libraries;
  for_each_line(maps, [&](std::string_view line) {
    // "7f00-7f01 r-xp 00000000 08:01 1234   /path"; no field before the path has a slash.
    const size_t slash = line.find('/');
    if (slash == std::string_view::npos) return;
    line.remove_prefix(slash);
    constexpr std::string_view kDeleted = " (deleted)";  // replaced since it was loaded
    if (line.size() > kDeleted.size() && line.substr(line.size() - kDeleted.size()) == kDeleted)
      line.remove_suffix(kDeleted.size());
    if (line.substr(line.rfind('/')).find(".so") == std::string_view::npos) return;
    if (std::find(libraries.begin(), libraries.end(), line) == libraries.end())
      libraries.emplace_back(line);
  });
  return libraries;
}

std::optional<Memory> free_memory(const FileReader& read) {
  std::optional<Memory> memory = parse_meminfo(read("/proc/meminfo"));
  if (!memory) return std::nullopt;
  for (const CgroupFolder& folder : own_cgroup_folders(read, "memory")) {
    const auto file = [&](const char* v2, const char* v1) {
      return read(folder.path + (folder.unified ? v2 : v1));
    };
    const auto limit = parse_memory_limit(file("/memory.max", "/memory.limit_in_bytes"));
    const auto usage = parse_number<uint64_t>(file("/memory.current", "/memory.usage_in_bytes"));
    if (!limit || !usage) continue;
    // Cached files count as used, but give way.
    const uint64_t cached = keyed_number(read(folder.path + "/memory.stat"),
                                         folder.unified ? "inactive_file " : "total_inactive_file ")
                                .value_or(0);
    const uint64_t used = *usage - std::min(*usage, cached);
    memory->total = std::min(memory->total, *limit);
    memory->available = std::min(memory->available, *limit - std::min(*limit, used));
  }
  return memory;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets;
#if defined(__x86_64__) || defined(__i386__)
  // The builtin takes nothing but a literal.
  if (__builtin_cpu_supports("avx2")) sets.emplace_back("avx2");
  if (__builtin_cpu_supports("fma")) sets.emplace_back("fma");
  if (__builtin_cpu_supports("avx512f")) sets.emplace_back("avx512f");
  if (__builtin_cpu_supports("avx512bf16")) sets.emplace_back("avx512bf16");
#endif
  return sets;
}

Machine read_machine(const FileReader& read) {
  Machine machine;
  machine.cpu = cpu_model(read("/proc/cpuinfo"));
  machine.instruction_sets = instruction_sets();
  machine.allowed = allowed_processors();
  machine.online = count_cpu_list(read("/sys/devices/system/cpu/online"));
  if (machine.online == 0) machine.online = static_cast<int>(std::thread::hardware_concurrency());
  machine.online = std::max(machine.online, machine.allowed);
  machine.quota = cpu_quota(read);
  machine.load = load_average(read("/proc/loadavg"));
  machine.memory = free_memory(read);
  return machine;
}

FolderReading read_folder(const std::string& path) {
  FolderReading reading;
  reading.path = path;
  std::error_code error;
  fs::path nearest = fs::absolute(path, error);
  if (!nearest.has_filename()) nearest = nearest.parent_path();
  reading.exists = fs::exists(nearest, error);
  // A link to nothing is there, but no folder can be made in its place.
  while (!fs::exists(fs::symlink_status(nearest, error)) && nearest.has_relative_path())
    nearest = nearest.parent_path();
  if (!fs::is_directory(nearest, error)) {
    reading.problem = error ? fmt::format("{}: {}", nearest.string(), error.message())
                            : fmt::format("{} is not a folder", nearest.string());
    return reading;
  }
  reading.problem = try_to_write(nearest.string());
  struct statvfs disk {};
  if (statvfs(nearest.c_str(), &disk) == 0)
    reading.free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  else if (reading.problem.empty())
    reading.problem = fmt::format("{}: {}", nearest.string(), strerror(errno));
  return reading;
}

}  // namespace fathom
