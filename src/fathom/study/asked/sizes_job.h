// Of what model, and over what batches, sizes are measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fathom/study/asked/model_choice.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct SizesJob {
  ModelChoice model;    // `run` is the preset's name with `untrained`
  std::string dataset;  // empty: the one it was trained on
  std::string split = "val";
  bool untrained = false;  // the preset's model as it begins, on random tokens
  RunConfig config;        // with `untrained`, resolved
  int64_t vocab_size = 0;  // with `untrained`: rows of the token table
  int64_t batches = 1;
  std::optional<int64_t> sequences;  // of a batch; unset: the run's, or 1 with `untrained`
  std::optional<int64_t> tokens;     // of a sequence at most; unset: as many as the model sees
  double eps = 1e-3;
  int64_t rank_rows = 256, bins = 20;
  bool gradients = true;

  // In force, once parsed; `config` of the run.
  int64_t sequences_of(const RunConfig& config) const;
  int64_t tokens_of(const RunConfig& config) const;
};

// Throws Error(kUsage) where this machine cannot hold what a batch of so many sequences makes of
// itself, in a model of that configuration.
void require_room(const SizesJob& request, const RunConfig& config, int64_t vocab_size,
                  int64_t sequences);

}  // namespace fathom
