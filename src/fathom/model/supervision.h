// What a walk is trained on: the terms of an objective (spec/objective.h) over its readings and
// carries. Of a term that is no function of means, each layer with a weight adds
//
//   weight * sum over rows of (row's weight * expression)
//
// divided by the term's denominator.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/counted_rows.h"
#include "fathom/model/model.h"
#include "fathom/model/objective_values.h"
#include "fathom/model/spec/objective.h"
#include "fathom/model/spec/supervision_config.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// What the walk has to read for the table, and show to `kept`, which observes it from now on.
WalkOptions with_needs(const SupervisionTable& table, WalkOptions options, Kept& kept);

// What the rows are worth to the table, -1 times the batch's weight times what the terms multiply
// the cross entropy with: of a layer whose terms are all the same weighted cross entropy of the
// walk's own answers (is_weighted_cross_entropy), but for a number. supervise() then takes
// Reading::weighted in place of the rows. The table must outlive it. A head that reads several
// times is never asked, so that nobody has to know beforehand which reading is a row's last one.
// `cap` is that of the probability that a row halts with (HaltingConfig::probability_cap).
RowWeights row_weights(const SupervisionTable& table, const Batch& batch, double cap = 1);

// Denominators that are known beforehand, by the name of the loss part.
std::map<std::string, double> known_counts(const SupervisionTable& table, const Batch& batch);

// A walk that is over.
struct WalkedBatch {
  const DepthWalk& walk;
  const DepthProgram& program;
  const Batch& batch;
  const WalkOptions& options;
  const Trace& trace;
  const Kept& kept;  // the doors, where with_needs() asked for them
};

// The loss parts of a dense walk. A term whose denominator is known beforehand is one part, and so
// is a function of means (LossPart::means); another term one part per readout, "name/i"
// (StepSpec::readout_name), without gradient where its rows are none. A term that reads the layer
// before leaves out the first readout.
std::vector<LossPart> supervise(const SupervisionTable& table, const WalkedBatch& walked);

}  // namespace fathom
