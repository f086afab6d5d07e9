// The optimiser's keys. What an optimiser is called, keeps and reads is in optimizer_rules.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

enum class DecayRule { kMatrices, kMlpAndHead, kAll };

struct OptimizerConfig {
  std::string optimizer = "adamw";  // OptimizerRule::name
  std::optional<bool> use_muon;     // another spelling of it; resolve() settles that by it
  double learning_rate = 6e-4;
  double weight_decay = 0.1;
  double decay_left_off = 0;  // no key: see resolve()
  double beta1 = 0.9;
  double beta2 = 0.95;
  double adam_eps = 1e-8;
  double momentum = 0.9;
  double rmsprop_alpha = 0.99;
  double muon_lr = 0.02;
  double muon_momentum = 0.95;
  bool muon_nesterov = true;
  int64_t muon_ns_steps = 5;
  double grad_clip = 1.0;
  DecayRule decay_rule = DecayRule::kMatrices;
  // Which parameters stay as they are (freeze.h), and which have settings of their own
  // (parameter_groups.h).
  bool default_freeze = false;
  std::string freeze, unfreeze, parameter_groups;
  // No keys: of an experiment's switches, see freeze.h.
  std::string own_freeze, own_unfreeze, own_groups;
  // Of every optimiser whose state begins anew; see schedule.h.
  int64_t optimizer_warmup_steps = 0;
  double optimizer_warmup_fraction = 0.1;
};

void add_fields(FieldList& list, OptimizerConfig& config);

// The optimiser's part of resolve() in run_config.h. A preset's weight_decay is of an optimiser
// that decouples it: another one leaves it off, unless it is given, and one that decouples it
// again, as a later stage's may, has it back.
void resolve(const FieldList& list, OptimizerConfig& config, std::vector<std::string>& notices);

}  // namespace fathom
