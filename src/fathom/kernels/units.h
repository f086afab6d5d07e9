// Work of others than kernels on all threads of the one OpenMP pool that kernels use.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

// f(i) for i in [0, n), each by whichever thread is free. Not in parallel if `small`. Exceptions
// reach the caller.
void run_units(int64_t n, bool small, const std::function<void(int64_t)>& f);

// f() once on each thread of the pool, at the same time.
void run_on_every_thread(const std::function<void()>& f);

}  // namespace fathom
