#include "fathom/model/spec/block_style.h"

#include "fathom/model/spec/depth_plan.h"

namespace fathom {
namespace {

NormSpec rms(const BackboneConfig& backbone, NormId::Place place, int index) {
  NormSpec norm(place, index);
  norm.kind = NormSpec::kRms;
  norm.eps = backbone.rms_norm_eps;
  return norm;
}

// r = r + N A(n); r = r + N M(r)
Wiring sandwich_wiring() {
  using namespace wire;
  return {
      {{"r", name("r") + norm(attention(name("n")))}, {"r", name("r") + norm(mlp(name("r")), 1)}}};
}

// r = N(r + A(n)); r = N(r + M(N(r))), the stream times `scale` before each addition.
Wiring huginn_wiring(double scale) {
  using namespace wire;
  const auto r = [&] { return scale == 1 ? name("r") : number(scale) * name("r"); };
  return {{{"r", norm(r() + attention(name("n")))}, {"r", norm(r() + mlp(norm(name("r"), 1)), 2)}}};
}

}  // namespace

Wiring block_wiring(const BackboneConfig& backbone, double effective_layers) {
  const double L = effective_layers > 0 ? effective_layers : static_cast<double>(backbone.n_layer);
  const bool scales = backbone.residual_scaling == ResidualScaling::kTiedDepth;
  const double scale = scales ? stream_scales(L).stream : 1;
  switch (backbone.block_style) {
    case BlockStyle::kGpt2:
      return pre_norm_wiring();
    case BlockStyle::kSandwich:
      return sandwich_wiring();
    case BlockStyle::kHuginn:
      return huginn_wiring(scale);
  }
  return pre_norm_wiring();
}

void give_parts(const BackboneConfig& backbone, int index, LayerSpec& layer) {
  layer.attention = {index};
  layer.mlp = {index};
  layer.norm_in = {NormId::kIn, index};
  if (backbone.block_style == BlockStyle::kGpt2) {
    layer.norm = {{NormId::kMid, index}};
    return;
  }
  layer.mlp[0].act = MlpSpec::kSilu;
  layer.norm_in = rms(backbone, NormId::kIn, index);
  layer.norm = {rms(backbone, NormId::kAfterAttention, index)};
  if (backbone.block_style == BlockStyle::kHuginn)
    layer.norm.push_back(rms(backbone, NormId::kMid, index));
  layer.norm.push_back(rms(backbone, NormId::kAfterMlp, index));
}

}  // namespace fathom
