#include "fathom/kernels/units.h"

#include "fathom/kernels/threads.h"

namespace fathom {

void run_units(int64_t n, bool small, const std::function<void(int64_t)>& f) {
  for_each_unit(n, small, f);
}

void run_on_every_thread(const std::function<void()>& f) {
#pragma omp parallel
  f();
}

}  // namespace fathom
