// Norms as they are computed. What they are is NormSpec's to say.
#pragma once

#include "fathom/model/spec/norm_spec.h"
#include "fathom/model/walk/part.h"

namespace fathom {

struct NormParams {
  Tensor weight, bias;  // (C); the weight undefined for kNone, the bias if there is none
  NormSpec::Kind kind = NormSpec::kLayer;
  std::optional<double> eps;  // unset: the settings'
  double gain = 1;

  template <class F>
  void each(const F& f) {
    f(weight);
    f(bias);
  }
};

void bind(const NormSpec& spec, const PartPlace& place, NamedTensors& tensors, Params& params);

Tensor norm(const Tensor& x_RC, const NormParams& params, const BlockSettings& settings);

}  // namespace fathom
