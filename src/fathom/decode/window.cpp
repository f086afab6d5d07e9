#include "fathom/decode/window.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"

namespace fathom {

int64_t Window::start(int64_t length) const {
  const int64_t room = capacity - pinned, beyond = length - capacity;
  if (beyond <= 0) return pinned;
  const int64_t piece = overflow == Overflow::kHalf ? std::max<int64_t>(room / 2, 1) : 1;
  return pinned + (beyond + piece - 1) / piece * piece;
}

int64_t Window::room(int64_t length) const {
  return std::max<int64_t>(capacity - pinned + start(length) - length, 0);
}

void validate(const Window& w, int64_t block_size) {
  if (w.capacity < 1 || w.capacity > block_size)
    misuse(fmt::format("window = {} does not fit the model: it has positions for {} tokens",
                       w.capacity, block_size),
           fmt::format("take --window between 1 and {}", block_size));
  if (w.pinned < 0 || w.pinned >= w.capacity)
    misuse(fmt::format("pinned = {} leaves nothing of a window of {} tokens", w.pinned, w.capacity),
           "take --pinned smaller than the window");
}

}  // namespace fathom
