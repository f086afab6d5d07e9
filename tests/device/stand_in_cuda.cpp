// A device that stands in for CUDA where there is none: a library that is loaded before
// fathom-engine (LD_PRELOAD), and with which `--device=cuda` works, slowly, on the processor. It
// takes the place of libtorch's CUDA operators, and is as strict as they are:
// - nobody but its operators reads its memory: pointers into it are none that a processor can
// follow,
//   so a loop over the data of a tensor that is "on CUDA" ends the program;
// - an operator whose tensors are on two devices is refused, with CUDA's exceptions: numbers, and
//   indices;
// - backward passes run on a thread of their own;
// - automatic casts are CUDA's.
// What it cannot show: kernels that CUDA lacks or computes otherwise, its memory, its speed,
// streams.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <set>
#include <string>

namespace fathom::stand_in {
namespace {

using at::Tensor;

const c10::Device kDevice(c10::kCUDA, 0);

// ---- Memory. No address of x86-64 or AArch64 begins with these bits.

constexpr auto kFarAway = uintptr_t{0x5ad} << 52;

void* far(void* p) {
  return p == nullptr ? p : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(p) | kFarAway);
}
void* near(void* p) {
  return p == nullptr ? p : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(p) & ~kFarAway);
}

class Memory : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) const override {
    void* p = bytes == 0 ? nullptr : std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    return {far(p), p, &std::free, kDevice};
  }
};

Memory memory;

Tensor empty(c10::SymIntArrayRef sizes, c10::optional<at::ScalarType> type,
             c10::optional<at::Layout> /*layout*/, c10::optional<at::Device> /*device*/,
             c10::optional<bool> /*pinned*/, c10::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(c10::asIntArrayRefSlow(sizes), &memory,
                                   c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                   c10::dtype_or_default(type), format);
}

Tensor empty_strided(c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides,
                     c10::optional<at::ScalarType> type, c10::optional<at::Layout> /*layout*/,
                     c10::optional<at::Device> /*device*/, c10::optional<bool> /*pinned*/) {
  return at::detail::empty_strided_generic(
      c10::asIntArrayRefSlow(sizes), c10::asIntArrayRefSlow(strides), &memory,
      c10::DispatchKeySet(c10::DispatchKey::CUDA), c10::dtype_or_default(type));
}

// The same memory as a tensor of the processor.
Tensor near(const Tensor& t) {
  if (!t.defined() || !t.is_cuda()) return t;
  // An operator may give it another size.
  if (t.numel() == 0) return at::empty(t.sizes(), at::TensorOptions(t.scalar_type()));
  return at::from_blob(near(t.data_ptr()), t.sizes(), t.strides(),
                       at::TensorOptions(t.scalar_type()));
}

Tensor far(const Tensor& t) {
  Tensor out = at::detail::empty_strided_generic(t.sizes(), t.strides(), &memory,
                                                 c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                                 t.scalar_type());
  near(out).copy_(t);
  return out;
}

// ---- Operators

// The operators that take indices from the processor, and those that take a number from there.
const std::set<std::string> kTakesIndices = {"aten::index", "aten::index_put_",
                                             "aten::_index_put_impl_", "aten::index_put"};
const std::set<std::string> kTakesNumbers = {
    "aten::add",          "aten::add_",        "aten::sub",        "aten::sub_",
    "aten::rsub",         "aten::mul",         "aten::mul_",       "aten::div",
    "aten::div_",         "aten::eq",          "aten::ne",         "aten::lt",
    "aten::le",           "aten::gt",          "aten::ge",         "aten::pow",
    "aten::maximum",      "aten::minimum",     "aten::fill_",      "aten::masked_fill",
    "aten::masked_fill_", "aten::logical_and", "aten::logical_or", "aten::remainder",
    "aten::index_fill_",  "aten::bitwise_and", "aten::bitwise_or"};

class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op), name_(op.schema().name()), stack_(stack) {}

  void run() {
    const size_t count = op_.schema().arguments().size();
    for (auto value = stack_->end() - int64_t(count); value != stack_->end(); ++value) take(*value);
    for (const Tensor& t : on_processor_)
      TORCH_CHECK(!is_wrong(t), "stand-in CUDA: ", name_, " has tensors on CUDA and one of [",
                  t.sizes(), "] on the processor");
    {
      const at::AutoDispatchBelowADInplaceOrView no_graph;
      const c10::impl::ExcludeDispatchKeyGuard no_casts(
          c10::DispatchKeySet({c10::DispatchKey::AutocastCPU, c10::DispatchKey::AutocastCUDA}));
      op_.callBoxed(stack_);
    }
    for (const Pair& pair : pairs_) give_back_if_resized(pair);
    const auto& returns = op_.schema().returns();
    auto value = stack_->end() - int64_t(returns.size());
    for (const c10::Argument& as : returns) give(*value++, as);
  }

 private:
  struct Pair {
    Tensor near, far;
    void* data;
  };

  bool is_wrong(const Tensor& t) const {
    if (pairs_.empty()) return false;
    if (t.dim() > 0) return kTakesIndices.count(name_) == 0;
    return !t.unsafeGetTensorImpl()->is_wrapped_number() && kTakesNumbers.count(name_) == 0;
  }
  Tensor taken(const Tensor& t) {
    if (!t.defined()) return t;
    if (!t.is_cuda()) {
      on_processor_.push_back(t);
      return t;
    }
    pairs_.push_back({near(t), t, nullptr});
    pairs_.back().data = pairs_.back().near.data_ptr();
    return pairs_.back().near;
  }
  void take(c10::IValue& value) {
    if (value.isTensor()) {
      value = taken(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<Tensor> all;
      for (const Tensor& t : value.toTensorVector()) all.push_back(taken(t));
      value = all;
    } else if (value.isOptionalTensorList()) {
      c10::List<c10::optional<Tensor>> all;
      for (const c10::optional<Tensor>& t : value.toOptionalTensorVector())
        all.push_back(t.has_value() ? c10::optional<Tensor>(taken(*t)) : t);
      value = all;
    } else if (value.isDevice() && value.toDevice().is_cuda()) {
      value = c10::Device(c10::kCPU);
    }
  }
  static void give_back_if_resized(const Pair& pair) {
    if (pair.near.sizes() == pair.far.sizes() && pair.near.data_ptr() == pair.data) return;
    const Tensor moved = far(pair.near);
    auto* impl = pair.far.unsafeGetTensorImpl();
    impl->set_storage_keep_dtype(moved.storage());
    impl->set_storage_offset(0);
    impl->set_sizes_and_strides(moved.sizes(), moved.strides());
  }
  Tensor given(const Tensor& t, const c10::Argument& as) const {
    if (!t.defined()) return t;
    for (const Pair& pair : pairs_)
      if (t.is_same(pair.near)) return pair.far;
    TORCH_CHECK(as.alias_info() == nullptr, "stand-in CUDA: ", name_, " makes a view");
    return far(t);
  }
  void give(c10::IValue& value, const c10::Argument& as) const {
    if (value.isTensor()) {
      value = given(value.toTensor(), as);
    } else if (value.isTensorList()) {
      std::vector<Tensor> all;
      for (const Tensor& t : value.toTensorVector()) all.push_back(given(t, as));
      value = all;
    }
  }

  const c10::OperatorHandle& op_;
  const std::string name_;
  torch::jit::Stack* stack_;
  std::vector<Pair> pairs_;
  std::vector<Tensor> on_processor_;
};

void on_the_processor(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  Call(op, stack).run();
}

Tensor& copy_(Tensor& to, const Tensor& from, bool /*non_blocking*/) {
  Tensor there = near(to);
  const at::AutoDispatchBelowADInplaceOrView no_graph;
  there.copy_(near(from));
  return to;
}

TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_processor>());
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("copy_", TORCH_FN(copy_));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("unfold", TORCH_FN(at::native::unfold));
}

// ---- What libtorch asks of a device

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

}  // namespace
}  // namespace fathom::stand_in

namespace at {

// Its name is what libtorch looks for.
struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs /*unused*/) {}
  void initCUDA() const override {}
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(int64_t /*device_index*/) const override { return true; }
  int64_t current_device() const override { return 0; }
  int getNumGPUs() const override { return 1; }
  void deviceSynchronize(int64_t /*device_index*/) const override {}
  std::string showConfig() const override { return "stand-in CUDA\n"; }
};

REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at
