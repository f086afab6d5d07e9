// Tensors and their arithmetic operators by the narrowest headers; single operators are included
// where they are used (<ATen/ops/softmax.h>).
#pragma once

#include <ATen/core/Tensor.h>
// Needs Tensor to be complete.
#include <ATen/TensorOperators.h>

namespace fathom {

using at::Tensor;

}  // namespace fathom
