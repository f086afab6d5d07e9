#include "fathom/ops/tensor_pool.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

namespace fathom {
namespace {

// at::empty asks the dispatcher first, which takes longer than the rest of it.
Tensor made(at::IntArrayRef sizes, at::ScalarType type) {
  return Tensor(at::detail::empty_cpu(sizes, type));
}

bool nobody_has(const Tensor& t) {
  return t.use_count() == 1 && t.storage().use_count() == 1;
}

}  // namespace

Tensor TensorPool::next(at::IntArrayRef sizes, at::ScalarType type) {
  const bool known = asked_ < tensors_.size();
  const size_t end = std::min(tensors_.size(), asked_ + kFarthest);
  for (size_t i = asked_; i < end; ++i) {
    const Tensor& t = tensors_[i];
    if (t.sizes() != sizes || t.scalar_type() != type || !t.is_contiguous() || !nobody_has(t))
      continue;
    std::swap(tensors_[i], tensors_[asked_]);
    return tensors_[asked_++];
  }
  Tensor t = made(sizes, type);
  const size_t before = known ? tensors_[asked_].nbytes() : 0;
  if (bytes_ - before + t.nbytes() > kMostBytes) return t;
  bytes_ += t.nbytes() - before;
  if (known)
    tensors_[asked_] = t;
  else
    tensors_.push_back(t);
  ++asked_;
  return t;
}

void TensorPool::end_use() {
  most_asked_ = std::max(most_asked_, asked_);
  asked_ = 0;
  if (++uses_ < kMostIdle) return;
  while (tensors_.size() > most_asked_) {
    bytes_ -= tensors_.back().nbytes();
    tensors_.pop_back();
  }
  most_asked_ = uses_ = 0;
}

Tensor new_tensor(at::IntArrayRef sizes, at::ScalarType type) {
  TensorPool* pool = TensorPool::Use::current();
  return pool != nullptr && c10::InferenceMode::is_enabled() ? pool->next(sizes, type)
                                                             : made(sizes, type);
}

}  // namespace fathom
