// Where the DAG is in the depth plan, and what its layer computes (architecture.h). Torch-free.
#pragma once

#include "experiments/dag/settings.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom::dag {

Wiring dag_wiring(const DagSettings& settings, bool predictor);

// One more layer, and its wiring behind the plan's others: nothing where programs have no
// operations. Throws Error(kUsage) for a predictor of lists, and for a place that the plan has not.
void add_dag_layer(const DagSettings& settings, bool predictor, DepthPlan& plan);

const LayerSpec& dag_layer_of(const DepthPlan& plan);  // of one that has a DAG
bool is_in_loop(const DepthPlan& plan);                // the DAG of one that has it
bool loops_before(const DepthPlan& plan);              // a loop begins before it

}  // namespace fathom::dag
