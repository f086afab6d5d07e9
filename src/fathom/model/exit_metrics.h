// What a walk's readings say about its layers: losses, accuracies, and who answered.
#pragma once

#include <map>
#include <string>

#include "fathom/model/language_model.h"
#include "fathom/model/walk.h"

namespace fathom {

// Of a dense trace, over the rows with a target (i: layer number):
//
//   loss_final, accuracy         of the last layer; with a halting rule, accuracy is of the layer
//                                that answered
//   layer_loss/i, layer_accuracy/i          where more than one layer reads out
//   infer                        loss at the first layer that halts, else the last, by the scores
//                                that the walk used (gold ones in a training pass)
//   exit_rate/i, exit_correct/i  share answered by layer i, and share answered right; always by the
//                                largest probability, so that they are what generation will do
//   exit_confident_last, exit_fallback      the last layer's two meanings: confident there, or the
//                                end of the walk
//   exit_depth                   mean number of readouts up to the answer
std::map<std::string, Metric> exit_metrics(const HaltingConfig& config, const Trace& trace,
                                           const Batch& batch);

// The readout (its number) that answers each row: the first that halts, else the last. (R) int64.
Tensor answering_readout(const std::vector<Tensor>& halts_R);

}  // namespace fathom
