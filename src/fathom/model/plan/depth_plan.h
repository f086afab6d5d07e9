// A model's depth as data: a tree of layers and loop groups, and the straight program that one walk
// through it carries out. Torch-free: `describe` counts with it, the parameter table comes from it.
//
// Parts have instance numbers. Steps that name the same instance share its weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fathom/model/plan/model_config.h"
#include "fathom/model/plan/wiring.h"

namespace fathom {

// A norm by the place that names it and its number there; a last norm may be a block's.
struct NormId {
  enum Place { kIn, kMid, kOut };
  Place place = kIn;
  int index = 0;

  std::string name() const;  // "norm_in.3"
  bool operator==(const NormId& o) const { return place == o.place && index == o.index; }
};

// What happens to the residual stream at a step's door, in the order of the list.
struct Injection {
  enum Kind {
    kOpenLoop,    // remember the stream as the loop's x0
    kLoopInput,   // x0 + state, or the adapter's linear map of [x0; state]
    kGate,        // g = sigmoid(gate(stream)), for the next kTokenTable
    kWiden,       // zeros appended up to the step's width
    kTokenTable,  // stream + row, or g * row + (1 - g) * stream after a kGate
  };
  Kind kind;
  int instance = -1;            // of gate, table or adapter; -1 at kLoopInput: added
  bool every_iteration = true;  // false: on a loop's first iteration only

  // kLoopInput alone, filled in by unroll().
  bool first = false;      // no state yet: noise if noise > 0, else x0
  bool single = false;     // the loop's only iteration
  bool cut_state = false;  // no gradient into the state
  double noise = 0;        // standard deviation
};

struct ReadoutSpec {
  int head = 0;  // instance
  NormId norm;
  int layer = 0;  // number that thresholds, loss weights and metrics know it by
};

struct LayerSpec {
  int number = 0;  // that an experiment's functions know it by; equal numbers share their weights
  int64_t width_in = 0, width = 0;
  int wiring = 0;                   // index into DepthPlan::wirings
  std::vector<int> attention, mlp;  // instances of A[k], M[k]
  std::vector<NormId> norm;         // of N[k]
  NormId norm_in;                   // makes n
  std::vector<Injection> door;
  std::optional<int64_t> context;  // positions before itself that a query sees
  std::optional<ReadoutSpec> readout;
  bool cut = false;  // no gradient from here on into what came before
};

struct PlanNode;

// Layers that run several times in a row.
struct LoopGroup {
  std::vector<PlanNode> body;
  int64_t count = 1;                // iterations unless a draw says otherwise
  int adapter = -1;                 // instance; -1: the input is added
  bool single_pass_adapter = true;  // the adapter acts in a loop of one iteration as well
  double noise = 0;                 // standard deviation of the first iteration's state
  int64_t backprop_depth = 0;       // last iterations with a gradient; 0: all
};

struct PlanNode {
  std::variant<LayerSpec, LoopGroup> node;
};

struct StemSpec {
  int64_t width = 0;
  int token_table = 0;
};

// What happens to the rows that halt. The walk carries out the first value of each; check_plan
// refuses the others.
struct HaltingSpec {
  enum Scope { kWalk, kLoop };                      // the row leaves the walk, or its loop group
  enum KeyFate { kHidden, kFrozen, kFilledLater };  // its keys in deeper layers
  enum Unit { kToken, kSequence };
  HaltingConfig config;
  Scope scope = kWalk;
  KeyFate key_fate = kHidden;
  Unit unit = kToken;
  MaskHistory history = MaskHistory::kCumulative;
  bool mask_self = true;
};

struct DepthPlan {
  StemSpec stem;
  std::vector<Wiring> wirings;
  std::vector<PlanNode> nodes;
  HaltingSpec halting;
  bool tied_heads = false;  // head i is token table i
  bool causal = true;       // a position sees none after it; false: texts cannot be grown with it
};

// One step of a walk.
struct StepSpec {
  LayerSpec layer;
  int index = 0;         // of the step in its program
  int cache_slot = 0;    // of its first attention's keys and values; every call has its own
  bool grad = true;      // false: computed without a graph
  int closes_loops = 0;  // loops whose x0 is forgotten after the step
};

struct DepthProgram {
  std::vector<StepSpec> steps;

  size_t depth() const { return steps.size(); }
};

// The plan with each loop group (in the order of its first layer) run counts[i] times; missing
// counts are the group's own. A count below 1 throws Error.
DepthProgram unroll(const DepthPlan& plan, const std::vector<int64_t>& counts = {});

// Throws Error(kUsage) if the plan does not hold together: a wrong wiring or one that calls other
// parts than its layer has, an empty group, widths that do not meet, no readout at the end.
void check_plan(const DepthPlan& plan);

// Of the sections, then changed by the architecture.
DepthPlan make_depth_plan(const ModelConfig& config);

// Every layer once, those of loop groups included.
void each_layer(DepthPlan& plan, const std::function<void(LayerSpec&)>& change);
void each_layer(const DepthPlan& plan, const std::function<void(const LayerSpec&)>& see);

}  // namespace fathom
