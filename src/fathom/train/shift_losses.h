// What evaluations tell of a model that looks ahead, besides its loss at the shift that they have.
#pragma once

#include <functional>
#include <memory>

#include "fathom/train/batches.h"

namespace fathom {

// The evaluation's data at a shift, on the same windows whatever it is.
using DataAtShift = std::function<std::shared_ptr<const DataSet>(int64_t shift)>;

// Adds to the metrics of `evaluation`, which is of `batches` batches:
//
//   loss_shift/s        the loss at each shift s that has a target, 1 to max_shift
//   loss_without_shift  on rows without a shift token, which training never sees
//   unigram_entropy     target_facts() of shift 1: what a guess costs that knows no text
//
// False: stopped (EvaluateOptions::stop).
bool add_shift_losses(const Model& model, const AheadConfig& ahead, const DataAtShift& data,
                      int64_t batches, at::Device device, Precision dtype,
                      const EvaluateOptions& options, Evaluation& evaluation);

}  // namespace fathom
