// What a model is asked for texts: how they begin, are drawn and end.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/command_line.h"
#include "fathom/decode/draft_choice.h"
#include "fathom/decode/sampler.h"
#include "fathom/decode/window.h"
#include "fathom/model/spec/halting_config.h"
#include "fathom/study/asked/model_choice.h"

namespace fathom {

struct GenerateRequest {
  ModelChoice model;
  std::string out_dir;               // nanoGPT's spelling of the run; empty: it was named
  std::optional<std::string> start;  // unset: a line break, or what the vocabulary has instead
  std::string stop;                  // ends a text, and is not in it; empty: nothing does
  bool end_of_text = true;           // the vocabulary's token of a text's end ends one
  int64_t num_samples = 1;
  int64_t max_new_tokens = 500;
  SamplerOptions sampler;
  bool do_sample = true;
  int64_t seed = 1337;
  Exit exit = Exit::kFirstConfident;
  Window window;  // capacity 0: the model's block_size
  Draft draft = Draft::kNone;
  int64_t draft_tokens = 4;  // settled: max_shift at most, where shifts draft
  int64_t lookahead = 0;     // tokens; 0: the text goes on
  int64_t show_layers = 0;   // of the first text's first so many tokens what every layer would say
  bool json = false;
  std::vector<std::string> notices;
};

// Whether a text can. A token has at least a byte.
bool outgrows_window(const GenerateRequest& request, const ModelConfig& model);

// Settles draft_tokens, which may not have been given (`list`). Throws Error(kUsage) for drafts and
// a lookahead that the model has no tokens for, or that do not go with the rest.
void settle_drafts(const FieldList& list, GenerateRequest& request, const ModelConfig& model);

// Of the texts that grow, and, where every layer is computed, of their keys and values. Throws
// Error(kUsage) where this machine has not so much.
void require_room(const GenerateRequest& request, const RunState& state);

// Adds a notice for each key that the model's vocabulary leaves without a use.
void add_idle_by_vocabulary(const FieldList& list, const RunState& state, GenerateRequest& request);

}  // namespace fathom
