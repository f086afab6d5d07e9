// What is trained: an objective over the layers' answers, how far its gradient goes, and what it
// leaves as it is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"
#include "fathom/model/spec/objective.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class SupervisionReduce { kMean, kSum };
enum class SkipEasyWeight {
  kLayer,  // each layer's loss is the mean over the tokens it is still asked about
  kToken,  // each token counts alike: the sum over them, divided by all targets
};

// Classes of modules that the losses do not teach: within a walk their weights are values without
// gradient. What they compute passes gradients on.
struct FrozenParts {
  bool attention = false, mlp = false, norm = false, embedding = false, head = false;

  bool any() const { return attention || mlp || norm || embedding || head; }
};

struct SupervisionConfig {
  ChoiceOrList layer_supervision{"last", {}};  // last | all | skip_easy | weights
  SupervisionReduce reduce = SupervisionReduce::kMean;
  SkipEasyWeight skip_easy_weight = SkipEasyWeight::kLayer;
  // In place of these: a name of named_objectives() or a formula; empty or None: there is none.
  std::string objective = {};
  // Blocks that a loss reaches: the one that is asked and those before it; unset: all.
  std::optional<int64_t> reach = {};
  bool reach_embeddings = true;   // what the stem makes of tokens and positions is reached too
  std::string freeze_parts = {};  // names of frozen_parts(), separated by commas

  bool has_objective() const;
  bool skips_easy() const { return !has_objective() && layer_supervision.choice == "skip_easy"; }
  // How much each layer's answer counts in the objective; 0: the layer is not trained on it. Of
  // several terms the sum of their sizes.
  std::vector<double> layer_weights(int64_t n_layer) const;
};

// The objective, whichever key says it. Throws Error(kUsage) as parse_objective().
Objective objective_of(const SupervisionConfig& config);
// Its terms at the layers of a model. Throws Error(kUsage) for what does not fit them.
SupervisionTable make_supervision(const SupervisionConfig& config, int64_t n_layer);
// Throws Error(kUsage) for another word than attn, mlp, norm, embedding, head, and block for the
// first three.
FrozenParts frozen_parts(const SupervisionConfig& config);

void add_fields(FieldList& list, SupervisionConfig& config);
void validate(const SupervisionConfig& config, const BackboneConfig& backbone);

// Where a model's tokens may halt, and whether it has loops: a sentence for each term of which that
// or its layers leave nothing, or another thing than it seems.
struct ObjectiveGround {
  int64_t n_layer = 0;
  bool halts = false, loops = false;
  double temperature = 1;  // of the score by which they halt
};
std::vector<std::string> remarks(const SupervisionConfig& config, const ObjectiveGround& ground);

// Layers that are trained answer, and those that are asked for it.
void apply(const SupervisionConfig& section, DepthPlan& plan, Policy& policy);

}  // namespace fathom
