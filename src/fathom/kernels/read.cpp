#include "fathom/kernels/read.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "fathom/kernels/threads.h"

namespace fathom {

bool has_byte(const char* bytes, size_t count, char what) {
  constexpr size_t kPart = 1 << 18;
  std::atomic<bool> found{false};
  for_each_unit(int64_t((count + kPart - 1) / kPart), count <= kPart, [&](int64_t unit) {
    const size_t first = size_t(unit) * kPart;
    if (std::memchr(bytes + first, what, std::min(kPart, count - first)) != nullptr) found = true;
  });
  return found;
}

}  // namespace fathom
