// The one place that puts the sections of a model together.
#pragma once

#include "fathom/model/plan/backbone_config.h"

namespace fathom {

struct ModelConfig {
  BackboneConfig backbone;
};

inline void add_fields(FieldList& list, ModelConfig& config) {
  add_fields(list, config.backbone);
}
inline void validate(const ModelConfig& config) {
  validate(config.backbone);
}

}  // namespace fathom
