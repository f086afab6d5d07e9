// What a run's configuration says of rows and mixtures, and the data set that it asks for.
#pragma once

#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/make_data_set.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// The keys of the section data that act on corpora of rows, and on several corpora.
void add_row_fields(FieldList& list, DataConfig& config);

// For resolve(): settles include_prompts and refuses contradictions (kUsage).
void settle_data_keys(const FieldList& list, RunConfig& config, std::vector<std::string>& notices);

// For make_data_set(), of one split, to train on or to be evaluated.
DataOptions data_options(const RunConfig& config, const std::string& split, bool evaluation);

// "pack_rows has no effect: rain is a text, not rows": of keys that were given, where no corpus has
// rows.
std::vector<std::string> keys_without_rows(const FieldList& list,
                                           const std::vector<Corpus>& corpora);

}  // namespace fathom
