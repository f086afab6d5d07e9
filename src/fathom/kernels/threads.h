// Work on all threads of the one OpenMP pool that libtorch and BLAS use, too. Internal to kernels/.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace fathom {

inline int threads() {
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

// f(i) for i in [0, n), each by whichever thread is free: one that shares its processor with
// another program holds nobody up. Not in parallel if `small`. Exceptions reach the caller.
template <class F>
void for_each_unit(int64_t n, bool small, const F& f) {
  if (small || n <= 1 || threads() == 1) {
    for (int64_t i = 0; i < n; ++i) f(i);
    return;
  }
  std::exception_ptr failure;
  std::mutex guard;
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < n; ++i) {
    try {
      f(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fathom
