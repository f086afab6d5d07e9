// Weights of another model that become a part of a new one, --initial_part, or all but some of
// them, --initial_model. Torch-free, so that what does not fit is told before a run begins.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "fathom/model/spec/architecture.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct InitialPart {
  std::string checkpoint;       // folder; empty: there is none
  std::vector<PartName> names;  // each of both models, of equal shapes
  // What it would do otherwise here: the experiment's tells_of_part, and texts that go on where its
  // own ended.
  std::vector<std::string> notices;
};

// The part that `run_or_checkpoint` gives a model of `config`, with so many rows of its token
// table, by the names of the experiment's parts_of. Throws Error(kUsage) where the preset takes no
// part, the two models do not go together, or tensors are missing or of other shapes: all of them
// in one sentence, with both shapes.
InitialPart find_initial_part(const std::string& run_or_checkpoint, const RunConfig& config,
                              int64_t vocab_size);

// Names of parameters that the model of a checkpoint need not have to be the start of one of this
// configuration: the experiment's begins_anew. Throws Error(kUsage) as that does.
std::set<std::string> begins_anew(const std::string& checkpoint, const ModelConfig& config);

}  // namespace fathom
