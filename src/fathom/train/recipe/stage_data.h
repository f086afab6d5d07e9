// The data of a stage.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fathom/data/data_set.h"
#include "fathom/data/in_batches.h"
#include "fathom/train/recipe/stage.h"

namespace fathom {

// Both give one sequence at a time: how an optimiser step is split into passes never moves the
// data.
std::shared_ptr<const DataSet> training_data(const StageRun& stage);
// The same windows every time, so that evaluations compare.
std::shared_ptr<const DataSet> evaluation_data(const StageRun& stage, const std::string& split);

// How many of its draws an evaluation that asks for so many makes: of rows each one once at most,
// for they come in their order and a row that is counted twice is no further draw.
int64_t evaluation_draws(const StageRun& stage, const std::string& split, int64_t asked);

// Every target of a split once, `B` sequences at a time; the last batch may have fewer.
std::shared_ptr<const FirstInBatches> whole_split(const Corpus& corpus, const RunConfig& config,
                                                  const std::string& split, int64_t B);

// Of one corpus its own; of several it changes when one of them does, or their order.
std::string fingerprint(const std::vector<Corpus>& corpora);

}  // namespace fathom
