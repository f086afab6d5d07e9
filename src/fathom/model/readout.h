// From a hidden state to next-token scores, and what was seen in them.
#pragma once

#include "fathom/model/params.h"
#include "fathom/ops/tensor.h"

namespace fathom {

// R rows, V vocabulary. Logarithms are natural.
struct Reading {
  Tensor ln_p_R;    // of the asked ids, in the graph; 0 where the id is -1; undefined: not asked
  Tensor ln_max_R;  // of the largest probability, without gradient unless asked for
  Tensor prediction_R;  // int64, the likeliest id, the first one of equals
  Tensor ln_max_confidence_R, ln_p_confidence_R;  // at the confidence temperature, no gradient
};

struct ReadoutRequest {
  Tensor ids_R;  // int64, -1: none; undefined: nothing is asked
  double confidence_temperature = 1;
  bool grad_of_max = false;  // ln_max_R is in the graph
};

// Without a graph the vocabulary is read in chunks of so many ids: (R, V) logits never exist.
inline constexpr int64_t kVocabularyChunk = 8192;

// `n_RC`: after the last norm. For logits themselves take linear(n_RC, head.weight, head.bias).
Reading readout(const Tensor& n_RC, const LinearParams& head, const ReadoutRequest& request);

}  // namespace fathom
