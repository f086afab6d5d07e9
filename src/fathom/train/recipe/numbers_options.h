// What a run's configuration says of generated numbers, and how its corpora are opened: of a name
// alone nobody knows what is generated.
#pragma once

#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/corpus.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// The section numbers, and keys of other programs that belong to it.
void add_numbers_fields(FieldList& list, DataConfig& config);

// The settings of the configuration, settled: numbers_depth is the model's where it has programs,
// and labels have room for those. Throws Error(kUsage) for a deeper one, but of streams, which have
// no labels.
NumbersConfig numbers_of(const RunConfig& config);

// For resolve(), where the data are numbers: checks them, settles numbers_depth, and turns
// train_examples_per_batch into batch_size and mini_batch_size. Of keys in `told` all is said.
void settle_numbers(const FieldList& list, RunConfig& config, std::vector<std::string>& notices,
                    std::vector<std::string>& told);

// Corpus::open(), and of the name `numbers` what the configuration's settings generate.
Corpus open_corpus(const std::string& name, const RunConfig& config);

}  // namespace fathom
