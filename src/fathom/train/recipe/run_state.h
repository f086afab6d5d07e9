// Where a run stands: everything of a checkpoint that is not a tensor. Torch-free, so that a resume
// is planned and refused before the engine is loaded.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fathom/data/data_set.h"
#include "fathom/data/tokenizer.h"
#include "fathom/train/recipe/outlier_window.h"
#include "fathom/train/recipe/progress.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

struct RunState {
  RunConfig config;
  int64_t vocab_size = 0;  // rows of the token table: text_vocab(), and shift tokens behind it
  int64_t step = 0;        // optimiser steps done, skipped ones included
  Progress progress;
  // The present stage: its name (empty: there is no plan), and what had been done when it began.
  std::string stage;
  int64_t stage_start_step = 0;
  Progress stage_start;
  // The training plan, as RunPlan::written has it; null: there is none.
  std::shared_ptr<const nlohmann::json> plan = {};
  int64_t optimizer_steps = 0;                   // updates made
  std::map<std::string, int64_t> moments_begun;  // Optimizer::begun(): of what was frozen at first
  Cursor cursor;                                 // of the training data
  std::string corpus_fingerprint;
  std::string best_metric;      // its series in the run store
  double best_value = 0;        // infinite: none yet
  int64_t evaluated_step = -1;  // of the newest complete evaluation; -1: none yet
  // That the weights were trained to read, as Tokenizer::to_json() has it; null: unknown.
  std::shared_ptr<const nlohmann::json> tokenizer = {};

  // Guards.
  int64_t skipped_steps = 0, rollbacks = 0;
  OutlierWindow losses, gradient_norms;  // of the accepted steps
};

// state.json of a checkpoint folder. Throws Error that names the file and what is wrong with it.
RunState load_state(const std::string& folder);
nlohmann::json to_json(const RunState& state);

// Ids that text may have.
inline int64_t text_vocab(const RunState& state) {
  return state.config.model.ahead.text_vocab(state.vocab_size);
}

// Whether a place in the training data means the same to both.
bool reads_alike(const RunState& a, const RunState& b);

// Whether evaluations of the two compare: the same text, windows, model settings and precision.
bool compares(const RunState& a, const RunState& b);

// Whether it knows its tokenizer, and that is another one: the same ids mean other text.
bool has_other_tokenizer(const RunState& state, const Tokenizer& tokenizer);

// Lines that differ between two configurations, "learning_rate = 0.001 (was 0.0006)"; by key.
std::vector<std::string> changes(RunConfig from, RunConfig to);

}  // namespace fathom
