// MLPs as they are computed. What they are is MlpSpec's to say.
#pragma once

#include "fathom/model/spec/mlp_spec.h"
#include "fathom/model/walk/part.h"

namespace fathom {

struct MlpParams {
  LinearParams gate, up, down;  // (F, C), undefined without a gate; (F, C); (C, F)

  template <class F>
  void each(const F& f) {
    for (LinearParams* linear : {&gate, &up, &down}) linear->each(f);
  }
};

void bind(const MlpSpec& spec, const PartPlace& place, NamedTensors& tensors, Params& params);

Tensor run_mlp(const MlpSpec& spec, const MlpParams& params, const Tensor& x_RC,
               const BlockSettings& settings);

}  // namespace fathom
