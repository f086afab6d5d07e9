// Forms of attention: what the weights are, and how heads meet values.
//
// B sequences, Q queries, K keys, H heads, E channels of a head's value or of one that heads share.
#pragma once

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

  // But for which keys are seen.
  bool usual_heads() const { return weights == kSoftmax && values == kByHead && !sink; }
  bool usual() const { return usual_heads() && !strict; }
  bool adds_heads() const { return values == kSum || values == kMean; }
};

}  // namespace fathom
