// How the ranks of a run work together. Of the start, as their number is, not of the run: its
// configuration and its checkpoints are the same for any number of them.
#pragma once

#include <cstdint>

#include "fathom/config/fields.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct RankSettings {
  Precision reduce_dtype = Precision::kFloat32;  // of gradients on their way; kFloat32, kBFloat16
  bool shard_optimizer = false;                  // each keeps a part of what the optimiser keeps
};
void add_fields(FieldList& list, RankSettings& settings);

// Throws Error(kUsage) where so many ranks cannot share the passes of a step equally, or, sharded,
// what its optimiser keeps.
void require_shares(const RunConfig& config, const RankSettings& settings, int64_t ranks);

}  // namespace fathom
