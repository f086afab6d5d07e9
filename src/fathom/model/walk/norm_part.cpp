#include "fathom/model/walk/norm_part.h"

#include "fathom/base/error.h"
#include "fathom/model/walk/params.h"
#include "fathom/ops/few_rows.h"
#include "fathom/ops/ops.h"
#include "fathom/ops/rms_norm.h"

namespace fathom {

void bind(const NormSpec& spec, const PartPlace& place, NamedTensors& tensors, Params& params) {
  const auto [at, is_new] = params.norms.try_emplace({spec.place, spec.index});
  if (!is_new) return;
  NormParams& p = at->second;
  p.kind = spec.kind;
  p.eps = spec.eps;
  p.gain = spec.gain;
  if (spec.kind == NormSpec::kNone) return;
  // A weight of ones that nobody trains: one way through the kernels.
  p.weight = spec.weight ? tensors.at(spec.name() + ".weight") : tensors.ones(place.width);
  p.bias = tensors.find(spec.name() + ".bias");
}

namespace {

Tensor plain_norm(const Tensor& x_RC, const NormParams& params, const BlockSettings& settings) {
  const double eps = params.eps.value_or(settings.norm_eps);
  switch (params.kind) {
    case NormSpec::kLayer:
      return layer_norm(x_RC, params.weight, params.bias, eps);
    case NormSpec::kRms:
      return rms_norm(x_RC, params.weight, params.bias, eps);
    case NormSpec::kNone:
      return x_RC;
  }
  fail("a norm is of a kind that nobody computes");
}

}  // namespace

Tensor norm(const Tensor& x_RC, const NormParams& params, const BlockSettings& settings) {
  const Tensor n_RC = plain_norm(x_RC, params, settings);
  return params.gain == 1 ? n_RC : times(n_RC, params.gain);
}

}  // namespace fathom
