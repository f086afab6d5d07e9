// What the blocks of a model are made of, by the backbone's block_style. Torch-free.
#pragma once

#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct LayerSpec;
struct Wiring;

// `effective_layers`: for residual_scaling.
Wiring block_wiring(const BackboneConfig& backbone, double effective_layers);

// The layer gets the parts that the wiring calls, all of the instance `index`.
void give_parts(const BackboneConfig& backbone, int index, LayerSpec& layer);

}  // namespace fathom
