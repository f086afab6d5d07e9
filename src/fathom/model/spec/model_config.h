// The one place that puts the sections of a model together.
#pragma once

#include <memory>

#include "fathom/model/spec/ahead_config.h"
#include "fathom/model/spec/backbone_config.h"
#include "fathom/model/spec/early_exit_config.h"
#include "fathom/model/spec/halting_config.h"
#include "fathom/model/spec/loop_halting_config.h"
#include "fathom/model/spec/looping_config.h"
#include "fathom/model/spec/own_settings.h"
#include "fathom/model/spec/supervision_config.h"
#include "fathom/model/spec/wiring_config.h"

namespace fathom {

struct Architecture;  // architecture.h

struct ModelConfig {
  BackboneConfig backbone;
  WiringConfig wiring;
  EarlyExitConfig early_exit;
  HaltingConfig halting;
  SupervisionConfig supervision;
  LoopingConfig looping;
  LoopHaltingConfig loop_halting;
  AheadConfig ahead;

  // What the preset's experiment adds; null: nothing. Set by presets, never by keys.
  std::shared_ptr<const Architecture> architecture;
  OwnSettings own;
};

void add_fields(FieldList& list, ModelConfig& config);
// Throws Error(kUsage) for combinations without a meaning, naming both keys.
void validate(const ModelConfig& config);
// A sentence for each setting that is allowed and probably not meant.
std::vector<std::string> remarks(const ModelConfig& config);

// That a token passes in training: effective_n_layer, or n_layer and what loops add on average.
double effective_layers(const ModelConfig& config);
// effective_n_layer becomes what it is, where it acts: what a trained model's weights mean does not
// change with the counts that it is trained on later.
void settle_depth(ModelConfig& config);

}  // namespace fathom
