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

// The settings of the configuration, settled: numbers_depth and number_operations are the model's
// where it has programs, and labels have room for those. Throws Error(kUsage) for a deeper one, but
// of streams, which have no labels, and for operations that the model is to learn and has no name
// for.
NumbersConfig numbers_of(const RunConfig& config);

// Whether some of the data's sequences have programs for labels.
bool has_program_labels(const RunConfig& config);
// Both throw Error(kUsage) that names the key where the model's objective has nothing in the data:
// they have no labels; and none is left by block_size, of this corpus.
void require_objective(const RunConfig& config);
void require_programs(const Corpus& corpus, const RunConfig& config);

// For resolve(): says which keys of labels have no effect, and, where the data are numbers, checks
// them, also against the model that is to say them, settles numbers_depth, and turns
// train_examples_per_batch into batch_size and mini_batch_size. Of keys in `told` all is said.
void settle_numbers(const FieldList& list, RunConfig& config, std::vector<std::string>& notices,
                    std::vector<std::string>& told);

// Corpus::open(), and of the name `numbers` what the configuration's settings generate.
Corpus open_corpus(const std::string& name, const RunConfig& config);

}  // namespace fathom
