// Texts from a model.
#pragma once

#include <functional>
#include <vector>

#include "fathom/decode/decoder.h"
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
};

struct GenerateReport {
  int64_t computed = 0, dense = 0;  // NextToken's, of all tokens
};

// Goes on from each of `texts` (at least one token each) and calls `emit` with each new token of a
// text and the number of the layer that answered, text by text within a step.
using EmitToken = std::function<void(size_t text, int64_t token, int64_t layer)>;
GenerateReport generate(const NextTokenModel& model, std::vector<std::vector<int64_t>> texts,
                        const GenerateOptions& options, const EmitToken& emit);

}  // namespace fathom
