// What libtorch computes in one piece from 2.0 on, and only other devices than the processor are
// given. Never run on CUDA. With 1.13, that tests are built with, both say that they cannot;
// with 2.6 they were compared with the definitions once, on a processor that was taken for another
// device (docs/LOG.md).
#pragma once

#include "fathom/kernels/optimizer.h"
#include "fathom/ops/attention_mask.h"
#include "fathom/ops/tensor.h"

namespace fathom::newer {

// As plain::attention without dropout, by scaled_dot_product_attention; undefined where that has no
// answer: a query that may see no key gets zeros by definition, and numbers that are none there.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKC, int64_t n_head,
                 const AttentionMask& mask);

// As the step says, in one kernel. `g` is the gradient before it is scaled. False: nothing was
// done.
bool adamw(const AdamWStep& step, const Tensor& w, const Tensor& g, const Tensor& m,
           const Tensor& v);

}  // namespace fathom::newer
