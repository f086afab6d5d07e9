// Memory of tensors: the most that was there at once, and how often some was asked for.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>

namespace fathom::testing {

// Of the totals that are reported: signed to libtorch 1.13, unsigned later.
template <class Method>
struct TotalOf;
template <class T>
struct TotalOf<void (c10::MemoryReportingInfoBase::*)(void*, int64_t, T, T, c10::Device)> {
  using type = T;
};

class MemoryMeter : public c10::MemoryReportingInfoBase {
 public:
  // Bytes beyond those that were there before f, at most at once. Our kernels' own working memory
  // is not tensors' and is not counted.
  static int64_t peak_of(const std::function<void()>& f) { return measure(f)->peak_; }
  static int64_t requests_of(const std::function<void()>& f) { return measure(f)->requests_; }

  using Total = TotalOf<decltype(&c10::MemoryReportingInfoBase::reportMemoryUsage)>::type;
  void reportMemoryUsage(void* /*ptr*/, int64_t bytes, Total /*total_allocated*/,
                         Total /*total_reserved*/, c10::Device /*device*/) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
    requests_ += bytes > 0;
  }
  bool memoryProfilingEnabled() const override { return true; }

 private:
  static std::shared_ptr<MemoryMeter> measure(const std::function<void()>& f) {
    const auto meter = std::make_shared<MemoryMeter>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    f();
    return meter;
  }

  int64_t now_ = 0, peak_ = 0, requests_ = 0;
};

}  // namespace fathom::testing
