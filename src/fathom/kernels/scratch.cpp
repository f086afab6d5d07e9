#include "fathom/kernels/scratch.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace fathom {
namespace {

constexpr size_t kLine = 64;

struct Free {
  void operator()(float* p) const { std::free(p); }
};

struct Buffer {
  std::unique_ptr<float, Free> data;
  size_t size = 0;
};

thread_local Buffer buffers[kScratchSlots];

}  // namespace

float* new_floats(size_t count) {
  const size_t bytes = (count * sizeof(float) + kLine - 1) / kLine * kLine;
  auto* p = static_cast<float*>(std::aligned_alloc(kLine, std::max(bytes, kLine)));
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

float* scratch(int slot, size_t floats) {
  Buffer& buffer = buffers[slot];
  if (floats <= buffer.size) return buffer.data.get();
  const size_t size = std::max(floats, buffer.size + buffer.size / 2);
  buffer = {};  // first, so that both are never there at once
  buffer.data.reset(new_floats(size));
  buffer.size = size;
  return buffer.data.get();
}

}  // namespace fathom
