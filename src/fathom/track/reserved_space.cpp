#include "fathom/track/reserved_space.h"

#include <fcntl.h>

#include <utility>

namespace fathom {

ReservedSpace::ReservedSpace(const std::string& folder, int64_t bytes) noexcept
    : fd_(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {
  if (fd_.is_open() && ::fallocate(fd_.get(), 0, 0, bytes) != 0) release();
}

bool ReservedSpace::release() noexcept {
  return posix::Fd(std::exchange(fd_, posix::Fd())).is_open();
}

}  // namespace fathom
