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

// How often the last sample of `in_stage` was given in the stage, that time included, where its
// data goes round in order: one text by sampling = sequential or batches. 1 where data is drawn or
// generated, and for rows and mixtures. What the wiring notebook's log calls batch-reuse.
int64_t times_given_in(const StageRun& stage, const Progress& in_stage);

// How many of its draws an evaluation that asks for so many makes: of rows each one once at most,
// for they come in their order and a row that is counted twice is no further draw.
int64_t evaluation_draws(const StageRun& stage, const std::string& split, int64_t asked);

// Every target of a split once, `B` sequences at a time; the last batch may have fewer.
std::shared_ptr<const FirstInBatches> whole_split(const Corpus& corpus, const RunConfig& config,
                                                  const std::string& split, int64_t B);

// Of one corpus its own; of several it changes when one of them does, or their order.
std::string fingerprint(const std::vector<Corpus>& corpora);

}  // namespace fathom
