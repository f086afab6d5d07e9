// Which parameters decoupled weight decay acts on.
#pragma once

#include "fathom/model/spec/parameter_table.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

inline bool decays(const ParameterSpec& spec, DecayRule rule) {
  if (spec.decays) return *spec.decays;
  if (rule == DecayRule::kAll) return true;
  if (spec.shape.size() < 2) return false;
  return rule == DecayRule::kMatrices || spec.part == Part::kMlp || spec.part == Part::kHead;
}

}  // namespace fathom
