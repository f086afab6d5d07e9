// The one place that puts the sections of a model together.
#pragma once

#include "fathom/model/plan/backbone_config.h"
#include "fathom/model/plan/early_exit_config.h"
#include "fathom/model/plan/halting_config.h"
#include "fathom/model/plan/supervision_config.h"

namespace fathom {

struct ModelConfig {
  BackboneConfig backbone;
  EarlyExitConfig early_exit;
  HaltingConfig halting;
  SupervisionConfig supervision;
};

inline void add_fields(FieldList& list, ModelConfig& config) {
  add_fields(list, config.backbone);
  add_fields(list, config.early_exit);
  add_fields(list, config.halting);
  add_fields(list, config.supervision);
}
// Throws Error(kUsage) for combinations without a meaning, naming both keys.
void validate(const ModelConfig& config);
// A sentence for each setting that is allowed and probably not meant.
std::vector<std::string> remarks(const ModelConfig& config);

}  // namespace fathom
