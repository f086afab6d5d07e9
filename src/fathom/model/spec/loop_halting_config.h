// When a token has gone round a loop often enough: automatic exit in evaluation and generation,
// and what training does for it. The loops are looping_config's, or an experiment's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/halting_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

struct LoopHaltingConfig {
  HaltRule rule = HaltRule::kNone;
  std::optional<bool> automatic;  // true: a rule is there, false: there is none
  OneOrMore threshold;            // of all groups, or of each; none: the rule's own
  HaltUnit unit = HaltUnit::kToken;
  int64_t cache = 0;  // LoopPolicy::cached_iterations
  bool gate = false;  // what kLearned goes by is there and learns
  double gate_entropy = 0.01;
  double stop_probability = 0;

  // What loops go by.
  HaltRule acting_rule() const;
  bool is_off() const;
};

// Of the section "looping".
void add_fields(FieldList& list, LoopHaltingConfig& config);
void validate(const LoopHaltingConfig& config);

// Rules, caches and gates of all groups of the plan, which is whole by then. `written`: of each
// group in the plan's order, which entry of a list is its own; empty: the i-th. Halted rows keep
// their keys as they are, and rules rest in training passes. Throws Error(kUsage) for settings
// without a loop, and a list of another length.
void apply(const LoopHaltingConfig& section, DepthPlan& plan, Policy& policy,
           const std::vector<size_t>& written = {});

// A sentence for each threshold that always or never halts.
std::vector<std::string> remarks(const LoopHaltingConfig& config);

}  // namespace fathom
