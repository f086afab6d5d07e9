// `fathom-engine doctor`: what only a process that has loaded the tensor library can know.
#include <ATen/Context.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include "fathom/config/command_line.h"
#include "fathom/kernels/isa.h"
#include "fathom/machine/doctor.h"
#include "fathom/model/device.h"

namespace fathom {
namespace {

// Calls a function of OpenBLAS, if that is what is loaded.
int ask_openblas(const char* function, int otherwise) {
  void* found = dlsym(RTLD_DEFAULT, function);
  return found == nullptr ? otherwise : reinterpret_cast<int (*)()>(found)();
}

}  // namespace

int run_doctor_in_engine(const Arguments&) {
  EngineReadings r;
  r.version = FATHOM_VERSION;
  r.libtorch = TORCH_VERSION;
  r.threads = set_threads(0).threads;
  r.blas_threads = ask_openblas("openblas_get_num_threads", 0);
  r.openblas_parallel = ask_openblas("openblas_get_parallel", -1);
  r.mkl = at::hasMKL();
  r.kernels = plain_is_asked() ? "none" : isa_name(chosen_isa());
  r.flushes_denormals = denormals_are_zero();
  r.cuda = at::hasCUDA();
  r.cuda_devices = r.cuda ? static_cast<int>(at::getNumGPUs()) : 0;
  r.libraries = mapped_libraries(read_system_file("/proc/self/maps"));
  fmt::print("{}\n", to_text(r));
  return 0;
}

}  // namespace fathom
