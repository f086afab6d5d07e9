// A run folder as training leaves it, without training: what the torch-free program sees of it.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "fathom/data/corpus.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/registry.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom::testing {

inline RunState saved_state(const std::string& preset, const std::string& dataset, int64_t step) {
  RunState state;
  const Corpus corpus = Corpus::open(dataset);
  state.config = preset_config(preset);
  state.config.data.dataset = dataset;
  state.config.model.backbone.block_size = 16;
  state.vocab_size = corpus.vocab_size();
  state.step = state.optimizer_steps = step;
  state.cursor = {{"batch", 7}};
  state.corpus_fingerprint = corpus.fingerprint();
  state.best_metric = "eval/val/loss";
  state.best_value = std::numeric_limits<double>::infinity();
  return state;
}

inline std::string save_state(const std::string& run, const std::string& checkpoint,
                              const RunState& state) {
  const std::string folder = run_folder(run) + "/checkpoints";
  std::filesystem::create_directories(folder);
  CheckpointWriter writer(folder + "/" + checkpoint);
  write_file_durably(writer.path() + "/state.json", as_bytes(to_json(state).dump()));
  writer.commit();
  return folder + "/" + checkpoint;
}

}  // namespace fathom::testing
