#include "fathom/base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "fathom/base/lines.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

struct CgroupMount {
  std::string root, point;
};

// Mount of cgroup v2, or of the v1 hierarchy that has `controller`.
std::optional<CgroupMount> find_mount(std::string_view mountinfo, bool unified,
                                      std::string_view controller) {
  std::optional<CgroupMount> mount;
  for_each_line(mountinfo, [&](std::string_view line) {
    // "32 31 0:29 /root /point rw,relatime - cgroup source rw,cpu,cpuacct"
    const size_t dash = line.find(" - ");
    if (mount || dash == std::string_view::npos) return;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) return;
    if (after[0] != (unified ? "cgroup2" : "cgroup")) return;
    if (!unified && !holds(split(after[2], ','), controller)) return;
    mount = CgroupMount{std::string(before[3]), std::string(before[4])};
  });
  return mount;
}

// Appends the folder of the cgroup `path` below `mount`, and its parents.
void append_folders(const CgroupMount& mount, std::string path, bool unified,
                    std::vector<CgroupFolder>& folders) {
  // In a container the mount may show only a part of the hierarchy: that below its root.
  if (mount.root != "/") {
    const bool below = path.compare(0, mount.root.size(), mount.root) == 0 &&
                       (path.size() == mount.root.size() || path[mount.root.size()] == '/');
    path = below ? path.substr(mount.root.size()) : "";
  }
  if (path.find("/..") != std::string::npos) path.clear();
  while (!path.empty() && path.back() == '/') path.pop_back();
  while (!path.empty()) {
    folders.push_back({mount.point + path, unified});
    path.resize(std::min(path.rfind('/'), path.size() - 1));
  }
  folders.push_back({mount.point, unified});
}

}  // namespace

std::string read_system_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "";
  try {
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  } catch (const std::ios_base::failure&) {  // a folder
    return "";
  }
}

std::optional<double> parse_cfs_quota(std::string_view quota, std::string_view period) {
  const auto allowed = parse_number<int64_t>(quota), of = parse_number<int64_t>(period);
  if (!allowed || !of || *allowed <= 0 || *of <= 0) return std::nullopt;
  return static_cast<double>(*allowed) / static_cast<double>(*of);
}

std::optional<double> parse_cpu_max(std::string_view text) {
  const auto parts = split(trim(text), ' ');
  return parts.size() == 2 ? parse_cfs_quota(parts[0], parts[1]) : std::nullopt;
}

std::vector<CgroupFolder> cgroup_folders(std::string_view cgroup, std::string_view mountinfo,
                                         std::string_view controller) {
  std::vector<CgroupFolder> folders;
  for_each_line(cgroup, [&](std::string_view line) {
    // "0::/path" is v2, "4:cpu,cpuacct:/path" is v1; the path may hold colons.
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos || line.substr(second + 1, 1) != "/") return;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && !holds(split(controllers, ','), controller)) return;
    if (const auto mount = find_mount(mountinfo, unified, controller))
      append_folders(*mount, std::string(line.substr(second + 1)), unified, folders);
  });
  return folders;
}

std::vector<CgroupFolder> own_cgroup_folders(const FileReader& read, std::string_view controller) {
  return cgroup_folders(read("/proc/self/cgroup"), read("/proc/self/mountinfo"), controller);
}

std::optional<double> cpu_quota(const FileReader& read) {
  std::optional<double> tightest;
  for (const CgroupFolder& folder : own_cgroup_folders(read, "cpu")) {
    const auto quota = folder.unified ? parse_cpu_max(read(folder.path + "/cpu.max"))
                                      : parse_cfs_quota(read(folder.path + "/cpu.cfs_quota_us"),
                                                        read(folder.path + "/cpu.cfs_period_us"));
    if (quota && (!tightest || *quota < *tightest)) tightest = quota;
  }
  return tightest;
}

}  // namespace fathom
