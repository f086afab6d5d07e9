// A depth walk whose wiring calls F.dag, trained on the programs of its batches besides, or, a
// predictor without a head, on nothing else.
#pragma once

#include <memory>

#include "experiments/dag/settings.h"
#include "fathom/model/models.h"

namespace fathom::dag {

// `parts.functions` has F.dag. `settings` are those that the weights were made by; weights of
// losses are of the pass (Policy::own), targets the model's.
//
// Objective of the full model: lm_loss_weight * the next token's + plan_loss_weight * ("sign" +
// "log" + "op", losses.h), of the predictor these three, which are its `loss`. A weight of 0 leaves
// its part out, a batch without programs these three, and so does the scratch executor, for whose
// list no text has labels. Without a DAG (dag_depth = 0) it is the plain model. With
// plan_loss_weight = 0 programs may be of any depth and operations.
//
// Metrics: of programs where their losses are asked for (metrics.h; with details in evaluations),
// of the DAG (logger.h), and of all models with a head "result_loss" and "result_accuracy", the
// next token's where it is a character of a result.
std::unique_ptr<Model> make_dag_model(ModelParts parts, const DagSettings& settings,
                                      bool predictor);

}  // namespace fathom::dag
