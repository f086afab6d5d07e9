// Which layers' predictions are trained, and how their losses are joined.
#pragma once

#include "fathom/config/fields.h"
#include "fathom/model/spec/backbone_config.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class SupervisionReduce { kMean, kSum };
enum class SkipEasyWeight {
  kLayer,  // each layer's loss is the mean over the tokens it is still asked about
  kToken,  // each token counts alike: the sum over them, divided by all targets
};

struct SupervisionConfig {
  ChoiceOrList layer_supervision{"last", {}};  // last | all | skip_easy | weights
  SupervisionReduce reduce = SupervisionReduce::kMean;
  SkipEasyWeight skip_easy_weight = SkipEasyWeight::kLayer;

  bool skips_easy() const { return layer_supervision.choice == "skip_easy"; }
  // Factor of each layer's loss in the objective; 0: the layer is not trained on it.
  std::vector<double> layer_weights(int64_t n_layer) const;
};

void add_fields(FieldList& list, SupervisionConfig& config);
void validate(const SupervisionConfig& config, const BackboneConfig& backbone);

// Layers that are trained answer.
void apply(const SupervisionConfig& section, DepthPlan& plan, Policy& policy);

}  // namespace fathom
