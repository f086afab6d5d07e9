// Spectral control: after an update, no singular value of an inner matrix is above beta. What it
// computes is in train/spectral.h.
#pragma once

#include <cstdint>

#include "fathom/config/fields.h"
#include "fathom/train/recipe/optimizer_config.h"

namespace fathom {

enum class SpectralMethod { kSvd, kPolarExpress, kReferenceNs5 };

struct SpectralConfig {
  double clip_beta = 0;  // 0: off
  SpectralMethod method = SpectralMethod::kPolarExpress;
  int64_t every = 1;       // updates
  bool split_qkv = false;  // queries, keys and values are a matrix each

  bool is_on() const { return clip_beta > 0; }
};

// `optimizer` has been added: its muon_ns_steps count for kReferenceNs5 too.
void add_fields(FieldList& list, SpectralConfig& config);

}  // namespace fathom
