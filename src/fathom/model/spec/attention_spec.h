// An attention: how rows are weighed, whom they see, and what of them is taken.
//
// C channels, H heads, D = C / H.
#pragma once

#include <optional>
#include <string>

#include "fathom/model/spec/part.h"

namespace fathom {

struct AttentionSpec {
  enum Value {
    kLinear,  // each head has C / H channels of a linear map of the input; heads side by side
    // No map: the input itself, all C channels of it, is the value of every head, ...
    kConcat,  // ... and the heads' C channels stand side by side: H * C
    kSum,     // ... and are added
    kMean,    // ... and averaged
  };
  // Weight of a key that a query sees, from s = q k / sqrt(D), by head; m keys are seen.
  enum Scores {
    kSoftmax,  // e^s over the sum of all e^s
    kSigmoid,  // 1 / (1 + m e^-s): keys do not compete (Ramapuram et al. 2024, with -ln m as bias)
    kUniform,  // 1 / m; no queries and keys
    kFixed,    // softmax of -2^(-8 (h + 1) / H) * distance, head h from 0: position alone decides,
               // with the slopes of Press et al. 2022 (ALiBi); no queries and keys
  };
  enum Mask {
    kCausal,  // the row itself and what comes before (all, in a plan that is not causal)
    kStrict,  // the same without the row itself; the first row gets zeros
    kSink,    // as kCausal, and in the softmax a key of score 0 and value 0: weights may add up to
              // less than 1 (Miller 2023). With kSoftmax and kUniform.
  };

  int instance = 0;
  Value value = kLinear;
  bool output_projection = true;  // a linear map of the heads, back to C
  std::optional<bool> bias;       // of its linear maps; unset: the backbone's
  Scores scores = kSoftmax;
  Mask mask = kCausal;

  AttentionSpec(int i = 0) : instance(i) {}  // a number is GPT-2's attention

  std::string name() const;                                                   // "attention.3"
  bool compares() const { return scores == kSoftmax || scores == kSigmoid; }  // queries with keys
  // Its linear map of the input: "qkv", "qk" or "v"; empty: none.
  std::string projection() const;

  void check(const PartPlace& place) const;
  void declare(const PartPlace& place, ParameterList& list) const;
  void cost(const PartPlace& place, const CostSetting& setting, Cost& cost) const;
  // Of its keys and values alone.
  double flops_of_keys(const PartPlace& place) const;
};

}  // namespace fathom
