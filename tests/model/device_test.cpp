// Threads and devices.
#include "fathom/model/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "fathom/kernels/units.h"

namespace fathom {
namespace {

// A worker that was there before, and idles while there is one thread, computes as that one does.
TEST(Threads, AllFlushDenormalsWhoeverCameFirst) {
  const int threads = at::get_num_threads();
  at::set_num_threads(2);
  run_on_every_thread([] { at::globalContext().setFlushDenormal(false); });
  EXPECT_FALSE(denormals_are_zero());
  set_threads(1);
  at::set_num_threads(2);
  EXPECT_TRUE(denormals_are_zero());
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace fathom
