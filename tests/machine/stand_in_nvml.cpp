// A library that stands in for the two of NVIDIA's driver that machine/gpu_use.h loads, where there
// is none: what of CUDA and of NVML is called there, with these devices.
//
//   CUDA's number, PCI address   NVML says
//   0, 0000:5e:00.0              38 % utilization, 6 of 24 GB
//   1, 0000:3b:00.0              97 % utilization, 33 of 80 GB
//   2, 0000:86:00.0              memory alone, as of a slice of a device
//   3, 0000:af:00.0              that it has no such device
#include <cstdio>
#include <cstring>
#include <string>

namespace {

struct Device {
  const char* address;
  unsigned percent;  // 0: not told
  unsigned long long used, total;
};
const Device kDevices[] = {{"0000:5e:00.0", 38, 6'000'000'000, 24'000'000'000},
                           {"0000:3b:00.0", 97, 33'000'000'000, 80'000'000'000},
                           {"0000:86:00.0", 0, 1'000'000'000, 10'000'000'000},
                           {"0000:af:00.0", 0, 0, 0}};
constexpr int kNotSupported = 3, kNotFound = 6, kNotInitialized = 1, kInvalidDevice = 101;

bool cuda_runs = false;
int users = 0;

}  // namespace

extern "C" {

int cuInit(unsigned /*flags*/) {
  cuda_runs = true;
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  if (!cuda_runs || ordinal < 0 || ordinal > 3) return kInvalidDevice;
  *device = 40 + ordinal;  // not to be taken for the ordinal
  return 0;
}
int cuDeviceGetPCIBusId(char* address, int length, int device) {
  if (device < 40 || device > 43) return kInvalidDevice;
  std::snprintf(address, static_cast<size_t>(length), "%s", kDevices[device - 40].address);
  return 0;
}

int nvmlInit_v2() {
  ++users;
  return 0;
}
int nvmlShutdown() {
  --users;
  return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** handle) {
  if (users == 0) return kNotInitialized;
  for (const Device& device : kDevices) {
    if (device.total == 0 || std::strcmp(device.address, address) != 0) continue;
    *handle = const_cast<Device*>(&device);
    return 0;
  }
  return kNotFound;
}
int nvmlDeviceGetUtilizationRates(void* handle, unsigned* gpu_and_memory) {
  const auto* device = static_cast<const Device*>(handle);
  if (device->percent == 0) return kNotSupported;
  gpu_and_memory[0] = device->percent;
  gpu_and_memory[1] = 5;  // of the time in which memory is read or written
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* handle, unsigned long long* total_free_used) {
  const auto* device = static_cast<const Device*>(handle);
  total_free_used[0] = device->total;
  total_free_used[1] = device->total - device->used;
  total_free_used[2] = device->used;
  return 0;
}

// For the tests: how many have begun and not ended.
int stand_in_nvml_users() {
  return users;
}
}
