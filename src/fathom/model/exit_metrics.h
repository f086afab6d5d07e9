// What a walk's readings say about its layers: losses, accuracies, and who answered.
#pragma once

#include <map>
#include <string>

#include "fathom/model/model.h"
#include "fathom/model/supervision.h"
#include "fathom/model/walk/walk.h"

namespace fathom {

// The loss of the answer, "loss" everywhere: the last readout's, over the rows with a target. Where
// `table` optimises that and nothing else it is the one of `losses`; without a readout there is
// none.
LossPart answer_loss(const SupervisionTable& table, const Trace& trace, const Batch& batch,
                     const std::vector<LossPart>& losses);

// Of a dense trace of the program, over the rows with a target that were not away from a loop (i:
// StepSpec::readout_name, a layer's number, and in loops its iterations); of one without a readout
// nothing:
//
//   accuracy                     of the last layer; with a halting rule, of the layer that answered
//   layer_loss/i, layer_accuracy/i          where more than one layer reads out
//   infer                        loss at the first layer that halts, else the last, by the scores
//                                that the walk used (gold ones in a training pass)
//   exit_rate/i, exit_correct/i  share answered by layer i, and share answered right; always by the
//                                largest probability, so that they are what generation will do
//   exit_confident_last, exit_fallback      the last layer's two meanings: confident there, or the
//                                end of the walk
//   exit_depth                   mean number of steps up to the answer
//   earlystop                    share answered before the last layer
//
// By another rule than max and gold the decisions are the walk's own. Of a rule that is only logged
// there is the same without `infer`, and accuracy is the last layer's. Where all layers answer by
// shares (HaltInEval::kExpect) they are expectations.
std::map<std::string, Metric> exit_metrics(const DepthProgram& program, const Trace& trace,
                                           const Batch& batch, bool training);

// What each row is answered with, (R) int64: by the layer of "accuracy"; where all layers answer by
// shares, what the largest sum of shares says. Undefined without a readout.
Tensor predictions(const DepthProgram& program, const Trace& trace, const Batch& batch,
                   bool training);

// The readout (its number) that answers each row: the first that halts, else the last at which the
// row was not away from a loop. (R) int64. `away_R`: of each readout, undefined: nobody was.
Tensor answering_readout(const std::vector<Tensor>& halts_R, const std::vector<Tensor>& away_R);

// pi_i of each readout, (R) float64, which sum to 1: the probability that a row that halts with its
// scores' probabilities halts there, and at the last readout at which it was there what is left.
std::vector<Tensor> expected_shares(const std::vector<const StepRecord*>& readouts);

}  // namespace fathom
