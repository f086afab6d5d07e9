// The engine's half: what the DAG's layer computes, in a model that also learns programs.
#include "experiments/dag/architecture.h"
#include "experiments/dag/dag_model.h"
#include "experiments/dag/functions.h"
#include "fathom/model/models.h"

namespace fathom {
namespace {

std::unique_ptr<Model> model_of(ModelParts parts, bool predictor) {
  const dag::DagSettings settings = dag::settings_of(parts.config.own);
  parts.functions = dag::functions(settings, predictor);
  return dag::make_dag_model(std::move(parts), settings, predictor);
}

}  // namespace

void register_dag(Models& models) {
  models.add(dag::kModelName,
             [](ModelParts parts) { return model_of(std::move(parts), /*predictor=*/false); });
  models.add(dag::kPredictorName,
             [](ModelParts parts) { return model_of(std::move(parts), /*predictor=*/true); });
}

}  // namespace fathom
