// GPT-2 models in Hugging Face's layout: a folder with
//
//   config.json            gpt2_config.h
//   model.safetensors      gpt2_tensors.h
//   tokenizer.json         or vocab.json and merges.txt (data/tokenizer_json.h)
//   fathom_tokenizer.json  a tokenizer that those cannot tell, over characters, as checkpoints have
//   it
//
// in as a checkpoint, and out of one. Torch-free: one tensor at a time is in memory. What is
// written out and read in again has the same weights, bit for bit, and so the other way round.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/safetensors.h"
#include "fathom/model/spec/backbone_config.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

struct ImportedModel {
  BackboneConfig backbone;                          // vocab_size is set
  std::shared_ptr<const nlohmann::json> tokenizer;  // null: the folder has none
  std::string tokenizer_kind;                       // "none" then
  std::vector<TensorMaker> tensors;                 // ours, float32
  std::vector<std::string> notices;
};

// Reads and checks all but the numbers. Throws Error that names file and field; every file may be
// hostile.
ImportedModel read_hugging_face(const std::string& folder);

// A state at step 0 for it, of the preset's training settings. Throws Error(kUsage) where the
// preset is not a plain GPT-2.
RunState imported_state(const ImportedModel& model, const std::string& preset);

// Fills a checkpoint; the caller commits. There is no optimizer.safetensors: no update was made,
// and moments begin at zero.
void write_imported(CheckpointWriter& writer, const RunState& state, const ImportedModel& model);

struct ExportReport {
  std::vector<std::string> files;  // written, sorted
  std::vector<std::string> notices;
};

// Writes the folder beside its place and renames it. Throws Error(kUsage) for a model that is not a
// GPT-2, with the keys in the way, and for a folder that is there, unless `replace` and it looks
// like one of these.
ExportReport export_hugging_face(const std::string& checkpoint, const std::string& folder,
                                 bool replace);

// The settings that keep a model from being a plain GPT-2, `halt_rule = "max"`; none: it is one.
std::vector<std::string> beyond_gpt2(const ModelConfig& model);

}  // namespace fathom
