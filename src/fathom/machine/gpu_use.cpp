#include "fathom/machine/gpu_use.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"

namespace fathom {
namespace {

// Types of the two interfaces, as documented; 0 is success.
using Result = int;
using Handle = void*;
struct Utilization {
  unsigned gpu = 0, memory = 0;  // percent of the time
};
struct MemoryUse {
  unsigned long long total = 0, free = 0, used = 0;  // bytes
};

// Stays loaded to the end of the process.
class Library {
 public:
  explicit Library(std::string name)
      : name_(std::move(name)), handle_(dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ != nullptr) return;
    const char* why = dlerror();  // "NAME: cannot open shared object file: ..."
    fail(why != nullptr ? why : name_ + " cannot be loaded");
  }
  template <class F>
  F* function(const char* name) const {
    void* found = dlsym(handle_, name);
    if (found == nullptr) fail(fmt::format("{} has no {}", name_, name));
    return reinterpret_cast<F*>(found);
  }

 private:
  std::string name_;
  void* handle_;
};

void require_success(Result result, const char* function) {
  if (result != 0) fail(fmt::format("{} answers {}", function, result));
}

// "0000:3b:00.0"
std::string pci_address(int ordinal, const std::string& driver) {
  const Library cuda(driver);
  int device = 0;
  std::array<char, 64> address{};
  require_success(cuda.function<Result(unsigned)>("cuInit")(0), "cuInit");
  require_success(cuda.function<Result(int*, int)>("cuDeviceGet")(&device, ordinal), "cuDeviceGet");
  require_success(cuda.function<Result(char*, int, int)>("cuDeviceGetPCIBusId")(
                      address.data(), static_cast<int>(address.size()) - 1, device),
                  "cuDeviceGetPCIBusId");
  return address.data();
}

}  // namespace

class GpuMeter::Device {
 public:
  Device(int ordinal, const GpuLibraries& libraries)
      : nvml_(libraries.management),
        shut_down_(nvml_.function<Result()>("nvmlShutdown")),
        utilization_(nvml_.function<Result(Handle, Utilization*)>("nvmlDeviceGetUtilizationRates")),
        memory_(nvml_.function<Result(Handle, MemoryUse*)>("nvmlDeviceGetMemoryInfo")) {
    const std::string address = pci_address(ordinal, libraries.driver);
    auto* by_address =
        nvml_.function<Result(const char*, Handle*)>("nvmlDeviceGetHandleByPciBusId_v2");
    require_success(nvml_.function<Result()>("nvmlInit_v2")(), "nvmlInit_v2");
    const Result result = by_address(address.c_str(), &handle_);
    if (result != 0) shut_down_();
    require_success(result, "nvmlDeviceGetHandleByPciBusId_v2");
  }
  ~Device() { shut_down_(); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  GpuUse read() const {
    GpuUse use;
    if (Utilization rates; utilization_(handle_, &rates) == 0) use.utilization = rates.gpu / 100.0;
    if (MemoryUse memory; memory_(handle_, &memory) == 0 && memory.total > 0) {
      use.memory_bytes = static_cast<double>(memory.used);
      use.memory_share = use.memory_bytes / static_cast<double>(memory.total);
    }
    return use;
  }

 private:
  Library nvml_;
  Result (*shut_down_)();
  Result (*utilization_)(Handle, Utilization*);
  Result (*memory_)(Handle, MemoryUse*);
  Handle handle_ = nullptr;
};

std::vector<MetricValue> GpuUse::values() const {
  std::vector<MetricValue> known;
  for (const auto& [name, value] : {std::pair{"gpu/utilization", utilization},
                                    {"gpu/memory_bytes", memory_bytes},
                                    {"gpu/memory_share", memory_share}})
    if (!std::isnan(value)) known.push_back({name, value});
  return known;
}

GpuMeter::GpuMeter(int device, const GpuLibraries& libraries) {
  try {
    device_ = std::make_unique<Device>(device, libraries);
  } catch (const Error& error) {
    problem_ = error.what();
  }
}

GpuMeter::~GpuMeter() = default;

GpuUse GpuMeter::read() const {
  return device_ == nullptr ? GpuUse() : device_->read();
}

}  // namespace fathom
