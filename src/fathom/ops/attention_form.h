// Attention of other forms than ops.h's: weights that are no softmax of the keys alone, and values
// that heads share (kernels/attention_form.h).
//
// Shapes: B sequences, Q queries, K keys, C channels, H heads, E channels of a value that heads
// share.
#pragma once

#include "fathom/kernels/attention_form.h"
#include "fathom/ops/ops.h"

namespace fathom {

// attention() of ops.h in that form, by kernels where there are any, else by its plain definition,
// a few queries at a time. A query without a key gets exact zeros. Values that heads share are
// never copied for each, and heads that are added are so before they meet them. Whether queries are
// strict is the form's to say, not the mask's.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKE, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout,
                 const AttentionForm& form);

// attention_of_rows() of ops.h in that form.
Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head,
                         const AttentionForm& form);

}  // namespace fathom
