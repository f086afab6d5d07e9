#include "fathom/machine/engine_program.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

// On one thread and with a small model it works with 928 MiB, and with 878 no longer.
constexpr rlim_t kLeastAddressSpace = rlim_t{1000} << 20;

}  // namespace

std::string engine_path() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "fathom-engine").string();
}

void set_thread_environment(int sharing) {
  ThreadLimits limits = thread_limits();
  limits.sharing = sharing;
  set_thread_count(choose_threads(0, limits));
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", /*overwrite=*/0);
  // A step has hundreds of pieces of parallel work, and to wake a sleeping thread takes longer than
  // some of them. So threads wait awake for a few microseconds first; not longer, for they may be
  // keeping another program from the processor that the work is waiting for.
  setenv("GOMP_SPINCOUNT", "1000", /*overwrite=*/0);
}

void require_address_space() {
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      limit.rlim_cur >= kLeastAddressSpace)
    return;
  fail(fmt::format("this process may have {} of memory (ulimit -v), and the engine needs at least "
                   "{} to start",
                   human_bytes(static_cast<double>(limit.rlim_cur)),
                   human_bytes(static_cast<double>(kLeastAddressSpace))),
       "raise that limit; `ulimit -v unlimited` takes it away");
}

}  // namespace fathom
