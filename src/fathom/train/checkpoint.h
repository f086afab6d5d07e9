// A checkpoint: a folder that holds everything a run needs to go on, or a model to be used.
//
//   model.safetensors      parameters by name, float32: those that answer
//   optimizer.safetensors  what the optimiser keeps: <parameter>.m and <parameter>.v of AdamW;
//                          missing in the checkpoint of an imported model: it begins at zero
//   state.json             RunState
//   manifest.json          size and checksum of the others (io/checkpoint_folder.h)
//
// It is written beside its place and renamed, so a reader finds a complete one or none.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fathom/data/tokenizer.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/model/model.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

// Fills it; the caller commits. `whole`: what the optimiser keeps, where that is not all in its own
// memory (train/together.h).
void write_checkpoint(CheckpointWriter& writer, const RunState& state,
                      const ParameterSet& parameters, Optimizer& optimizer,
                      const std::vector<Optimizer::State>* whole = nullptr);

// All loading throws Error for a damaged or incomplete checkpoint, and for a tensor that is
// missing, surplus, or of another shape or type, by name.

// Only the weights. An experiment's own parameters may be missing, and those of `begin_anew`, so
// that it can start from a model without them: they stay as they are, and their names are returned.
std::vector<std::string> load_parameters(const std::string& folder, ParameterSet& parameters,
                                         const std::set<std::string>& begin_anew = {});
// Of some of a checkpoint's weights, which became a model's.
struct TakenPart {
  int64_t tensors = 0, numbers = 0;
  std::string checksum;  // XXH3 of the numbers as they stand in the file, in the order of the names
};
// Of a parameter of the model, and of the checkpoint's tensor that becomes it.
using TensorNames = std::vector<std::pair<std::string, std::string>>;
// Those weights alone that are named, all others stay as they are. Throws Error, before any has
// changed, where a tensor is missing or has another shape, or the file is cut short meanwhile.
TakenPart load_part(const std::string& folder, const TensorNames& names, ParameterSet& parameters);
// Everything that a run goes on from. Of another optimiser's checkpoint the weights alone:
// `optimizer` then begins anew.
RunState load_checkpoint(const std::string& folder, ParameterSet& parameters, Optimizer& optimizer);

// A trained model, ready to be used.
struct LoadedModel {
  RunState state;
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;  // null: unknown
};
// `change` may alter settings that make no other tensors (thresholds), before the model is made.
LoadedModel load_model(const std::string& folder, at::Device device,
                       const std::function<void(ModelConfig&)>& change = {});

}  // namespace fathom
