#include "fathom/machine/engine_program.h"

#include <cstdlib>
#include <filesystem>

#include "fathom/base/processors.h"

namespace fathom {

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

}  // namespace fathom
