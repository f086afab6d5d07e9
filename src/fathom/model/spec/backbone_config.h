// The transformer that every experiment varies: a GPT-2 of pre-norm blocks. Key names are
// nanoGPT's, LMPlay's are aliases.
#pragma once

#include <cstdint>
#include <optional>

#include "fathom/config/fields.h"

namespace fathom {

struct DepthPlan;
struct Policy;

enum class Init {
  kGpt2,   // every weight N(0, 0.02^2), residual projections N(0, (0.02 / sqrt(2 n_layer))^2),
           // biases 0
  kTorch,  // the frameworks' defaults: tables N(0, 1), positions 0, linear weights and biases
           // U(-1/sqrt(fan_in), 1/sqrt(fan_in))
};

enum class Activation { kGelu, kGeluTanh };

struct BackboneConfig {
  int64_t n_layer = 12;
  int64_t n_head = 12;
  int64_t n_embd = 768;
  int64_t block_size = 1024;
  std::optional<int64_t> vocab_size;  // unset: the corpus's
  bool bias = false;                  // in block linears and norms
  bool head_bias = false;
  bool tie_head = true;
  double dropout = 0.0;
  std::optional<double> attn_dropout, residual_dropout, embed_dropout;  // unset: dropout
  double norm_eps = 1e-5;
  Activation activation = Activation::kGelu;
  Init init = Init::kGpt2;
};

void add_fields(FieldList& list, BackboneConfig& config);

// Throws Error(kUsage) for combinations without a meaning, naming both keys.
void validate(const BackboneConfig& config);

// The plan of a plain model: the stem, and n_layer layers of which the last one answers.
void apply(const BackboneConfig& section, DepthPlan& plan, Policy& policy);

// LMPlay's width without heads: the largest divisor of n_embd that is at most n_head.
int64_t fitting_heads(int64_t n_embd, int64_t n_head);

}  // namespace fathom
