// The small tensors of one step of decoding, for the next step, which asks for the same ones in the
// same order: libtorch takes longer to make and to forget a tensor of a row than a kernel to fill
// it.
#pragma once

#include <cstddef>
#include <vector>

#include "fathom/ops/in_use.h"
#include "fathom/ops/tensor.h"

namespace fathom {

class TensorPool {
 public:
  // A step. In inference mode, new_tensor() of this thread asks here as long as it lives.
  using Use = InUse<TensorPool>;

  // Of all that are kept: those of many rows are few and take their time anyway.
  static constexpr size_t kMostBytes = 4 << 20;
  // Uses after which what none of them asked for is given up. (Tokens that leave the walk early ask
  // for less.)
  static constexpr size_t kMostIdle = 64;
  // How far ahead one is looked for: a step in which a row leaves a loop, or stays in it, asks for
  // others from there on, and for the same ones a little later.
  static constexpr size_t kFarthest = 32;

  size_t count() const { return tensors_.size(); }

 private:
  friend class InUse<TensorPool>;
  friend Tensor new_tensor(at::IntArrayRef sizes, at::ScalarType type);
  Tensor next(at::IntArrayRef sizes, at::ScalarType type);
  void end_use();

  // In the order of the last step's requests. One that somebody else still has, or of which
  // somebody has a view, is left to them.
  std::vector<Tensor> tensors_;
  size_t asked_ = 0, most_asked_ = 0, uses_ = 0, bytes_ = 0;
};

// On the processor, of values that nobody has set.
Tensor new_tensor(at::IntArrayRef sizes, at::ScalarType type = at::kFloat);

}  // namespace fathom
