// What the kernel says of the machine, and the engine of itself: the parsers never throw.
#include "fathom/machine/machine.h"

#include "fathom/machine/doctor.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string first = in.text('\x01'), second = in.text('\x01');
  const auto all = [&] {
    cpu_model(first);
    require(count_cpu_list(first) >= 0, "a count");
    if (const auto load = load_average(first)) require(*load >= 0, "a load");
    if (const auto quota = parse_cpu_max(first)) require(*quota > 0, "a quota");
    if (const auto quota = parse_cfs_quota(first, second)) require(*quota > 0, "a quota");
    parse_memory_limit(first);
    for (const std::string& path : mapped_libraries(first)) require(path[0] == '/', "a path");
    for (const char* controller : {"cpu", "memory"})
      for (const CgroupFolder& folder : cgroup_folders(first, second, controller))
        require(
            folder.path.find("/../") == std::string::npos || second.find("..") != std::string::npos,
            "no way up but the mount's own");
    const auto everywhere = [&](const std::string& path) {
      return path == "/proc/self/mountinfo" ? second : first;
    };
    if (const auto memory = free_memory(everywhere))
      require(memory->available <= memory->total || memory->total > 0, "memory");
    cpu_quota(everywhere);
    if (const auto readings = parse_engine_readings(first))
      require(to_text(*parse_engine_readings(to_text(*readings))) == to_text(*readings),
              "readings read back as they were");
  };
  require(accepts(first.size() + second.size(), all), "no parser throws");
}

}  // namespace fathom::fuzzing
