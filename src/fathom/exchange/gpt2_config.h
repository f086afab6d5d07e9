// config.json of a GPT-2 in Hugging Face's layout, and the settings that it stands for.
//
//   n_layer, n_head, n_embd, vocab_size    as here
//   n_positions (or n_ctx)                 block_size
//   activation_function                    activation
//   layer_norm_epsilon                     norm_eps
//   tie_word_embeddings                    tie_head
//   attn_pdrop, resid_pdrop, embd_pdrop    dropouts
//
// Hugging Face's GPT-2 has biases everywhere. Whether a file's has them its tensors say; where we
// write zeros for biases that a model does not have, "fathom_bias": false is in config.json, which
// other readers pass over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fathom/model/spec/backbone_config.h"

namespace fathom {

inline constexpr uint64_t kMaxConfigJsonBytes = 1 << 20;

struct Gpt2Config {
  BackboneConfig backbone;  // vocab_size is set; bias as "fathom_bias" says, else true
};

// `name` stands for the file in errors. Throws Error for another kind of model, for what fathom's
// GPT-2 does not have, and for numbers beyond what the settings take; the file may be hostile.
Gpt2Config read_gpt2_config(std::string_view text, const std::string& name);

// `end_of_text`: the id that begins and ends texts; none: the vocabulary has no such token.
std::string gpt2_config_text(const BackboneConfig& backbone, int64_t vocab_size,
                             std::optional<int64_t> end_of_text);

}  // namespace fathom
