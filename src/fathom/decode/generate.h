// Text from a model, one token at a time.
#pragma once

#include <functional>
#include <vector>

#include "fathom/decode/sampler.h"
#include "fathom/model/language_model.h"

namespace fathom {

struct GenerateOptions {
  SamplerOptions sampler;
  int64_t max_new_tokens = 500;
  int64_t block_size = 0;  // only the last so many tokens are seen
  int64_t vocab_size = 0;  // ids from here on are padding of the table and never drawn
  uint64_t seed = 1337;
  uint64_t sample = 0;  // number of the text: each draws from its own stream
  Exit exit = Exit::kFirstConfident;
};

// Goes on from `tokens` (at least one) and calls `emit` with each new token and the number of the
// layer that answered.
void generate(const LanguageModel& model, std::vector<int64_t> tokens,
              const GenerateOptions& options,
              const std::function<void(int64_t token, int64_t layer)>& emit);

}  // namespace fathom
