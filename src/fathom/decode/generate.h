// Texts from a model.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "fathom/decode/decoder.h"
#include "fathom/decode/draft_choice.h"
#include "fathom/decode/sampler.h"

namespace fathom {

struct GenerateOptions {
  SamplerOptions sampler;
  int64_t max_new_tokens = 500;
  Window window;
  int64_t vocab_size = 0;  // ids from here on are padding of the table and never drawn
  uint64_t seed = 1337;
  uint64_t first_sample = 0;  // number of the first text: each draws from its own stream
  Exit exit = Exit::kFirstConfident;

  // Of a model with shift tokens the id of shift 1. It stands before each text and stays when the
  // window moves; it is not counted in `pinned`, and never emitted.
  std::optional<int64_t> shift_id = {};
  Draft draft = Draft::kNone;     // needs sampler.greedy
  int64_t draft_tokens = 4;       // how far a draft looks, 1 or more; kShift: the model's max_shift
                                  // at most
  const Policy* early = nullptr;  // kExit: of passes to the first readout (early_policy.h)
  // Asked once a token was emitted: its text is complete, and the others go on without it. Null: no
  // token ends one.
  std::function<bool(size_t text, int64_t token)> ends = {};
};

struct GenerateReport {
  int64_t computed = 0, dense = 0;     // NextToken's, of all tokens
  int64_t tokens = 0;                  // emitted, of all texts together
  int64_t passes = 0;                  // through all layers, each for all texts that wanted it
  int64_t asked = 0;                   // texts that wanted one, summed over these passes
  int64_t early_passes = 0;            // to the first readout
  int64_t drafted = 0, confirmed = 0;  // proposed tokens, and those that were right

  // Of one text, and a pass through all layers.
  double tokens_per_pass() const {
    return asked == 0 ? 0 : static_cast<double>(tokens) / static_cast<double>(asked);
  }
};

// Goes on from each of `texts` (at least one token each, none with a shift token) and calls `emit`
// with each new token of a text and the number of the layer that answered, in a text's order.
// With drafts the tokens are those without: drafts are of models for which a text's tokens may be
// computed together, so not of loops whose iterations share a cache's places. Throws Error(kUsage)
// for drafts of a sampler that draws, of kShift without a shift_id, and of kExit without `early`.
using EmitToken = std::function<void(size_t text, int64_t token, int64_t layer)>;
GenerateReport generate(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                        const GenerateOptions& options, const EmitToken& emit);

// Scores (V), float32 on the processor, of the token `shift` places behind the text's last one, V
// being vocab_size. `shift` is one of the model's.
Tensor scores_ahead(const NextTokenModel& model, std::vector<int64_t> text, int64_t shift,
                    const GenerateOptions& options);

}  // namespace fathom
