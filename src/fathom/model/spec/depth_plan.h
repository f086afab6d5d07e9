// A model's depth as data: a tree of layers and loop groups, as far as it shapes weights. What a
// pass does with it is its policy (policy.h). Torch-free: `describe` counts with it, the parameter
// table comes from it.
//
// Parts have instance numbers. Steps that name the same instance share its weights. What a part is
// and declares about itself is in part.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fathom/model/spec/attention_spec.h"
#include "fathom/model/spec/halting_gate.h"
#include "fathom/model/spec/injection.h"
#include "fathom/model/spec/mlp_spec.h"
#include "fathom/model/spec/model_config.h"
#include "fathom/model/spec/readout_spec.h"
#include "fathom/model/spec/wiring.h"

namespace fathom {

struct LayerSpec {
  int number = 0;  // that an experiment's functions know it by; equal numbers share their weights
  int64_t width_in = 0, width = 0;
  int wiring = 0;                        // index into DepthPlan::wirings
  std::vector<AttentionSpec> attention;  // A[k]
  std::vector<MlpSpec> mlp;              // M[k]
  std::vector<NormSpec> norm;            // N[k]
  NormSpec norm_in;                      // makes n
  std::vector<Injection> door;
  std::optional<int64_t> context;  // positions before itself that a query sees
  std::optional<ReadoutSpec> readout;
  bool asked = true;       // false: without a readout not even by a policy that asks all layers
  bool cut = false;        // no gradient from here on into what came before
  bool cut_later = false;  // likewise, but at a walk's first step
};

struct PlanNode;

// Layers that run several times in a row, as often as the pass says.
struct LoopGroup {
  std::vector<PlanNode> body;
  int adapter = -1;  // instance; -1: the input is added
  AdapterInit adapter_init = AdapterInit::kNormal;
  // What happens to the loop's input before each iteration: norms, signals, scales and noise.
  std::vector<Injection> input = {};
  HaltingGateSpec halting_gate = {};
};

struct PlanNode {
  std::variant<LayerSpec, LoopGroup> node;
};

// The walk's first door, which nothing has come to before: what makes the stream's first value must
// come first.
struct StemSpec {
  int64_t width = 0;
  std::vector<Injection> door = {{Injection::kTokenTable, 0}, {Injection::kPositionTable, 0}};
  bool cut = false;  // no gradient into what it makes
};

struct DepthPlan {
  StemSpec stem;
  std::vector<Wiring> wirings;
  std::vector<PlanNode> nodes;
  bool tied_heads = false;  // head i is token table i
  // By what layers and loops are asked that have no readout; unset: the last one that there is.
  std::optional<ReadoutSpec> asked_by;
  // That a token passes in training, every iteration counted, on average; 0: the backbone's
  // n_layer.
  double effective_layers = 0;
  bool causal = true;  // a position sees none after it; false: texts cannot be grown with it
  // What it answers where that is not a position's target, to complete "it answers ..."; a plan
  // that reads nothing out has to say it.
  std::string answers = {};
};

// "the next token", or what else it says; and whether it is the former.
std::string answers(const DepthPlan& plan);
bool predicts_next_token(const DepthPlan& plan);

// Throws Error(kUsage) if the plan does not hold together: a wrong wiring or one that calls other
// parts than its layer has, a part that makes no sense, an empty group, widths that do not meet, no
// readout at the end.
void check_plan(const DepthPlan& plan);
// Throws Error(kUsage) as require_read_queries() does, by the scores of each layer's attentions.
void check_queries(const DepthPlan& plan);

// Each section of the configuration in turn changes plan and policy by its `apply(section, plan,
// policy)`, the backbone's first, which makes the plan; then the architecture changes them. Each of
// these two (make_policy() is in policy.h) gives one of the pair.
DepthPlan make_depth_plan(const ModelConfig& config);

// The layer answers: by a readout of all layers', if it has none.
void add_readout(LayerSpec& layer);

// Every layer once, those of loop groups included.
void each_layer(DepthPlan& plan, const std::function<void(LayerSpec&)>& change);
void each_layer(const DepthPlan& plan, const std::function<void(const LayerSpec&)>& see);

}  // namespace fathom
