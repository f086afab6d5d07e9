// Layers that can answer for themselves: tables, heads and widths of their own, what a layer's
// door does, and what an answered token means for the layers after it.
#pragma once

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class GateMode {
  kNone,     // the table's row is added to the residual stream
  kLearned,  // g * row + (1 - g) * stream, g = sigmoid of a linear map of the stream
};

struct EarlyExitConfig {
  bool layer_tables = false;  // a token table per layer, read at its door
  bool layer_heads = false;   // a head and a last norm per layer
  IntList layer_widths;       // empty: n_embd everywhere
  GateMode gate_mode = GateMode::kNone;
  IntList layer_contexts;  // positions a query sees before itself; empty: no window
  bool detach_between_layers = false;
};

void add_fields(FieldList& list, EarlyExitConfig& config);
// Throws Error(kUsage) for lists that do not fit the backbone.
void validate(const EarlyExitConfig& config, const BackboneConfig& backbone);

// Widths, windows, doors and heads of the plan's layers. After all that gives layers readouts.
void apply(const EarlyExitConfig& section, DepthPlan& plan, Policy& policy);

}  // namespace fathom
