// Working memory that a thread keeps between calls. Internal to kernels/.
#pragma once

#include <cstddef>

namespace fathom {

// At least so many floats, on a cache line; theirs is whatever they had before. Valid until the
// thread's next call with the same `slot`.
float* scratch(int slot, size_t floats);

// So many floats on a cache line, the caller's to std::free. Throws std::bad_alloc.
float* new_floats(size_t count);

enum ScratchSlot {
  kPackedShared,
  kPackedOwn,
  kAttention,
  kSequence,
  kScores,
  kReadout,
  kScratchSlots
};

}  // namespace fathom
