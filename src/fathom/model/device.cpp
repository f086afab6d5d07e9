#include "fathom/model/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <atomic>

#include "fathom/base/error.h"
#include "fathom/kernels/units.h"

namespace fathom {

c10::Device choose_device(const std::string& name) {
  const bool cuda = at::hasCUDA();
  if (name == "auto") return cuda ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  if (name == "cpu") return c10::kCPU;
  if (name.rfind("cuda", 0) != 0)
    misuse(fmt::format("device = {} is unknown, allowed: auto, cpu, cuda, cuda:N", name),
           "auto takes CUDA where it is there, else the processor");
  if (!cuda)
    misuse(fmt::format("device = {} needs a libtorch with CUDA, this one has none", name),
           "configure the build with -DTorch_DIR=<libtorch>/share/cmake/Torch of a CUDA libtorch");
  try {
    const c10::Device device(name);
    return device.has_index() ? device : c10::Device(c10::kCUDA, 0);
  } catch (const c10::Error&) {
    misuse(fmt::format("device = {} is unknown, allowed: auto, cpu, cuda, cuda:N", name),
           "auto takes CUDA where it is there, else the processor");
  }
}

ThreadChoice set_threads(int64_t threads) {
  // ATen's own default counts half of a virtual machine's processors.
  ThreadChoice choice = choose_threads(threads, thread_limits());
  // Each thread has its own mode. One that is there already, and may idle now and come back later,
  // would give other bits than those that begin with this one's.
  const auto flush = [] { at::globalContext().setFlushDenormal(true); };
  run_on_every_thread(flush);
  at::set_num_threads(choice.threads);
  run_on_every_thread(flush);
  if (at::get_num_threads() != choice.threads) {
    choice.threads = at::get_num_threads();
    choice.why = "all that this libtorch starts";
  }
  return choice;
}

bool denormals_are_zero() {
  std::atomic<int> flushing{0}, asked{0};
  run_on_every_thread([&] {
    volatile float tiny = 1e-38f;
    ++asked;
    flushing += tiny * 0.1f == 0 ? 1 : 0;
  });
  return asked == flushing;
}

}  // namespace fathom
