// A checkpoint: a folder that holds everything a run needs to go on, or a model to be used.
//
//   model.safetensors      parameters by name, float32
//   optimizer.safetensors  AdamW's moments: <parameter>.m and <parameter>.v
//   state.json             config, step, cursor, tokenizer, vocabulary, corpus, versions
//   manifest.json          size and checksum of the others (io/checkpoint_folder.h)
//
// It is written beside its place and renamed, so a reader finds a complete one or none.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "fathom/data/source.h"
#include "fathom/data/tokenizer.h"
#include "fathom/model/language_model.h"
#include "fathom/train/adamw.h"
#include "fathom/train/plan/run_config.h"

namespace fathom {

struct CheckpointState {
  RunConfig config;
  int64_t vocab_size = 0;
  int64_t step = 0;  // optimiser steps done
  Cursor cursor;     // of the training data
  std::string corpus_fingerprint;
  std::string best_metric;
  double best_value = 0;
  nlohmann::json tokenizer;  // null: unknown
};

void save_checkpoint(const std::string& folder, const CheckpointState& state,
                     const ParameterSet& parameters, const AdamW& optimizer);

// Reads and checks state.json.
CheckpointState load_state(const std::string& folder);

// Copies the tensors into `parameters`. Throws Error for one that is missing, surplus, or of
// another shape or type, by name.
void load_parameters(const std::string& folder, ParameterSet& parameters);

// A trained model, ready to be used.
struct LoadedModel {
  CheckpointState state;
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<Tokenizer> tokenizer;  // null: unknown
};
LoadedModel load_model(const std::string& folder, at::Device device);

}  // namespace fathom
