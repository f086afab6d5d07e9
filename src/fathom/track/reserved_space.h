// Space of a disk that is held without a name, for the few bytes that have to be written when the
// disk is full.
#pragma once

#include <cstdint>
#include <string>

#include "fathom/io/posix.h"

namespace fathom {

class ReservedSpace {
 public:
  ReservedSpace() = default;
  // In the file system of `folder`. Where it cannot be had, nothing is held.
  ReservedSpace(const std::string& folder, int64_t bytes) noexcept;

  bool is_held() const noexcept { return fd_.is_open(); }
  // Gives it back, also when the process ends in any way. False: none was held.
  bool release() noexcept;

 private:
  posix::Fd fd_;
};

}  // namespace fathom
