// What a CUDA device does, as logged beside what the process takes (track/process_use.h): by
// NVIDIA's management library (NVML), which comes with the machine's driver and is loaded when a
// meter is made. Nothing is linked and no header of NVIDIA's is needed: the functions are those of
// its documented C interface (docs.nvidia.com/deploy/nvml-api). Torch-free.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fathom/track/process_use.h"

namespace fathom {

// What cannot be told is NaN: a slice of a device (MIG) has no utilization of its own.
struct GpuUse {
  double utilization = kUnknownUse;   // share of the last sample's time (1/6 s to 1 s) in which a
                                      // kernel ran
  double memory_bytes = kUnknownUse;  // taken by all processes and the driver
  double memory_share = kUnknownUse;  // of all that the device has

  // gpu/utilization, gpu/memory_bytes, gpu/memory_share: those that can be told.
  std::vector<MetricValue> values() const;
};

struct GpuLibraries {
  std::string driver = "libcuda.so.1", management = "libnvidia-ml.so.1";
};

// Belongs to one thread. Nothing here throws Error.
class GpuMeter {
 public:
  // `device` as the process's CUDA numbers them. CUDA_VISIBLE_DEVICES leaves some out and orders
  // the others anew, which NVML does not know: the device is found by its address on the PCI bus.
  explicit GpuMeter(int device, const GpuLibraries& libraries = {});
  ~GpuMeter();
  GpuMeter(const GpuMeter&) = delete;
  GpuMeter& operator=(const GpuMeter&) = delete;

  GpuUse read() const;
  const std::string& problem() const { return problem_; }  // why nothing is told; empty: it is

 private:
  class Device;
  std::unique_ptr<Device> device_;
  std::string problem_;
};

}  // namespace fathom
