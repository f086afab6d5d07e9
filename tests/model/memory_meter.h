// Memory of tensors: what is there, and the most that was there at once.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>

namespace fathom::testing {

class MemoryMeter : public c10::MemoryReportingInfoBase {
 public:
  // Bytes beyond those that were there before f, at most at once. Our kernels' own working memory
  // is not tensors' and is not counted.
  static int64_t peak_of(const std::function<void()>& f) {
    const auto meter = std::make_shared<MemoryMeter>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    f();
    return meter->peak_;
  }

  void reportMemoryUsage(void* /*ptr*/, int64_t bytes, int64_t /*total_allocated*/,
                         int64_t /*total_reserved*/, at::Device /*device*/) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }

 private:
  int64_t now_ = 0, peak_ = 0;
};

}  // namespace fathom::testing
