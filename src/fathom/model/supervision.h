// What a walk is trained on: a table of terms over its readings and carries.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fathom/model/model.h"
#include "fathom/model/spec/supervision_config.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// One term: for each layer with a weight, the sum over rows with a target of
//   weight * gate * multiplier * transform(p)
// divided by the denominator.
struct SupervisionTerm {
  enum Signal { kTarget, kMax };  // p: of the target, or the largest
  enum Transform {
    kNegLog,          // -ln p: the cross entropy where p is the target's
    kNegLogOneMinus,  // -ln(1 - p)
    kProbability,     // p
  };
  enum Gate {
    kEvery,  // 1
    kAsked,  // the row had not halted before
    kHalts,  // it had not, and halts here
    kStays,  // it had not, and does not halt here
  };
  enum Multiplier { kOne, kCrossEntropy };
  // Which weights speak: the walk's own; the same once more, frozen, so that the term teaches only
  // what came before; or the next step's, frozen, asked about this step's state.
  enum Judge { kSelf, kSelfFrozen, kNextFrozen };
  enum Denominator {
    kTargets,  // rows with a target, known before the walk
    kGated,    // those of them that the gate lets through, layer by layer
  };

  std::string name = "loss";
  Signal signal = kTarget;
  Transform transform = kNegLog;
  Gate gate = kEvery;
  Multiplier multiplier = kOne;
  Judge judge = kSelf;
  Denominator denominator = kTargets;
  std::vector<double> weights;  // by layer; 0 and missing: not in the term
  int64_t reach = 0;            // steps that the gradient goes through, 0: all; with kSelf only
  // Of a layer that answers several times, in a loop, each row's last answer alone counts.
  bool last_reading = false;
};

using SupervisionTable = std::vector<SupervisionTerm>;

// The table of a configuration: layer_supervision's cross entropies.
SupervisionTable make_supervision(const SupervisionConfig& config, int64_t n_layer);

// What the walk has to read for the table, and show to `kept`, which observes it from now on.
WalkOptions with_needs(const SupervisionTable& table, WalkOptions options, Kept& kept);

// What the rows are worth to the table, -1 times the batch's weight where the gate is open: of a
// layer whose terms are all cross entropies of the walk's own answers behind one gate that is known
// before the layer answers. supervise() then takes Reading::weighted in place of the rows. The
// table must outlive it. A head that reads several times is never asked, so that nobody has to know
// beforehand which reading is a row's last one.
RowWeights row_weights(const SupervisionTable& table, const Batch& batch);

// The batch's targets, by their weights where it has any.
double target_count(const Batch& batch);

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

// The loss parts of a dense walk. A kTargets term is one part; a kGated term one part per readout,
// "name/i" (StepSpec::readout_name), without gradient where its gate lets nothing through.
std::vector<LossPart> supervise(const SupervisionTable& table, const WalkedBatch& walked);

// ln(1 - exp(z)) for z < 0, accurate at both ends (Maechler 2012).
Tensor log1mexp(const Tensor& z);

}  // namespace fathom
