#include "fathom/model/walk/mlp_part.h"

#include <ATen/ops/relu.h>

#include "fathom/base/error.h"
#include "fathom/model/walk/params.h"
#include "fathom/ops/ops.h"

namespace fathom {
namespace {

// Computed with the products, where there are kernels.
bool has_form(MlpSpec::Act act) {
  return act == MlpSpec::kOfBackbone || act == MlpSpec::kGelu || act == MlpSpec::kGeluTanh ||
         act == MlpSpec::kSilu;
}

GeluForm gelu_form(MlpSpec::Act act, const BlockSettings& settings) {
  if (act == MlpSpec::kOfBackbone) return settings.gelu;
  if (act == MlpSpec::kSilu) return GeluForm::kSilu;
  return act == MlpSpec::kGelu ? GeluForm::kExact : GeluForm::kTanh;
}

Tensor activated(const Tensor& x, MlpSpec::Act act, const BlockSettings& settings) {
  switch (act) {
    case MlpSpec::kOfBackbone:
    case MlpSpec::kGelu:
    case MlpSpec::kGeluTanh:
    case MlpSpec::kSilu:
      return gelu(x, gelu_form(act, settings));
    case MlpSpec::kRelu:
      return at::relu(x);
    case MlpSpec::kReluSquared:
      return at::relu(x).square();
    case MlpSpec::kSigmoid:
      return x.sigmoid();
    case MlpSpec::kTanh:
      return x.tanh();
  }
  fail("an MLP has an activation that nobody computes");
}

Tensor map(const Tensor& x, const LinearParams& p) {
  return linear(x, p.weight, p.bias);
}

}  // namespace

void bind(const MlpSpec& spec, const PartPlace& /*place*/, NamedTensors& tensors, Params& params) {
  MlpParams& p = params.mlp[spec.instance];
  if (spec.gated) p.gate = tensors.linear(spec.name() + ".gate");
  p.up = tensors.linear(spec.name() + ".up");
  p.down = tensors.linear(spec.name() + ".down");
}

Tensor run_mlp(const MlpSpec& spec, const MlpParams& p, const Tensor& x_RC,
               const BlockSettings& settings) {
  if (!spec.gated && has_form(spec.act))
    return mlp(x_RC, {p.up.weight, p.up.bias, p.down.weight, p.down.bias},
               gelu_form(spec.act, settings));
  if (!spec.gated) return map(activated(map(x_RC, p.up), spec.act, settings), p.down);
  const Tensor gate_RF = activated(map(x_RC, p.gate), spec.act, settings);
  return map(gate_RF * map(x_RC, p.up), p.down);
}

}  // namespace fathom
