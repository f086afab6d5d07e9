// A model without a head, for new_experiment.sh: what it answers is no token.
#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/registry.h"
#include "settings.h"

namespace fathom {

void register_headless(Registry& registry) {
  const auto headless = std::make_shared<Architecture>();
  headless->name = "headless";
  headless->change_plan = [](const ModelConfig&, DepthPlan& plan, Policy&) {
    each_layer(plan, [](LayerSpec& layer) { layer.readout.reset(); });
    plan.answers = answer_of_headless();
  };
  registry.experiment("headless", "counts instead of tokens");
  registry.add("headless", "the laptop recipe without a head", [headless](RunConfig& c) {
    fathom::registry().preset("gpt2ish_shakespeare_cpu").apply(c);
    c.model.architecture = headless;
  });
}

}  // namespace fathom
