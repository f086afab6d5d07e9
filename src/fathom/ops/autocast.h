// Automatic casts by kind of device, under one name for every libtorch: from 2.4 on it warns at
// each start of the names that it had before.
#pragma once

#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/version.h>

namespace fathom::autocast {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)

inline bool is_on(at::DeviceType device) {
  return at::autocast::is_autocast_enabled(device);
}
inline void turn(at::DeviceType device, bool on) {
  at::autocast::set_autocast_enabled(device, on);
}
inline at::ScalarType type(at::DeviceType device) {
  return at::autocast::get_autocast_dtype(device);
}
inline void set_type(at::DeviceType device, at::ScalarType type) {
  at::autocast::set_autocast_dtype(device, type);
}

#else  // all that is not the processor is one

// Of the processor by the thread's own word: every operation asks, and libtorch's is_cpu_enabled()
// is three calls.
inline bool is_on(at::DeviceType device) {
  if (device != at::kCPU) return at::autocast::is_enabled();
  const c10::impl::LocalDispatchKeySet set = c10::impl::tls_local_dispatch_key_set();
  return !set.excluded_.has(c10::DispatchKey::AutocastCPU);
}
inline void turn(at::DeviceType device, bool on) {
  device == at::kCPU ? at::autocast::set_cpu_enabled(on) : at::autocast::set_enabled(on);
}
inline at::ScalarType type(at::DeviceType device) {
  return device == at::kCPU ? at::autocast::get_autocast_cpu_dtype()
                            : at::autocast::get_autocast_gpu_dtype();
}
inline void set_type(at::DeviceType device, at::ScalarType type) {
  device == at::kCPU ? at::autocast::set_autocast_cpu_dtype(type)
                     : at::autocast::set_autocast_gpu_dtype(type);
}

#endif

}  // namespace fathom::autocast
