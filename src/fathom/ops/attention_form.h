// Attention of other forms than ops.h's: weights that are no softmax of the keys alone, and values
// that heads share.
//
// Shapes: B sequences, Q queries, K keys, C channels, H heads, E channels of a value that heads
// share.
#pragma once

#include "fathom/ops/ops.h"

namespace fathom {

struct AttentionForm {
  enum Weights {
    kSoftmax,
    kSigmoid,  // 1 / (1 + m e^-score), m the number of keys that the query sees
  };
  enum Values {
    kByHead,  // (B, K, H * E), a part for each head -> (B, Q, H * E)
    kConcat,  // (B, K, E), the same for all heads   -> (B, Q, H * E)
    kSum,     // the same                            -> (B, Q, E)
    kMean,
  };
  Weights weights = kSoftmax;
  Values values = kByHead;
  bool strict = false;  // a query does not see the key of its own row
  bool sink = false;    // the softmax has one key more, of score 0 and value 0

  bool usual() const { return weights == kSoftmax && values == kByHead && !strict && !sink; }
};

// attention() of ops.h in that form; what only the mask changes by the same kernels, the rest by
// its plain definition, a few queries at a time. A query without a key gets exact zeros. Values
// that heads share are read where they lie, never copied for each, and heads that are added are so
// before they meet them. Whether queries are strict is the form's to say, not the mask's.
Tensor attention(const Tensor& q_BQC, const Tensor& k_BKC, const Tensor& v_BKE, int64_t n_head,
                 const AttentionMask& mask, const std::shared_ptr<const WeightDropout>& dropout,
                 const AttentionForm& form);

// attention_of_rows() of ops.h in that form.
Tensor attention_of_rows(const Tensor& rows_RC, const KeptKeys& kept, int64_t n_head,
                         const AttentionForm& form);

}  // namespace fathom
