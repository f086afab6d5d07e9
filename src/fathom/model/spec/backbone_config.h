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
  // Of C = n_embd channels and L layers that a token passes, every iteration of a loop counted:
  kTakase,  // every weight and table N(0, 2 / (5C)), biases 0; a head N(0, 1 / (5 C L)), and where
            // a table is the head the scores multiplied by sqrt(1 / (2L)), which is the same
  kTakaseTied,  // the same, but a table that is the head begins as the head does (Looped models of
                // 2025 had it so: the last to draw was the head)
  kHuginn,  // every weight and table N(0, 2 / (5C)), what is added to the stream over sqrt(2L), all
            // truncated at three standard deviations (Geiping et al. 2025)
};

// How a block joins its parts to the stream r.
enum class BlockStyle {
  kGpt2,      // r + A(N r), then r + M(N r); layer norms, `activation`
  kSandwich,  // r + N A(N r), then r + N M(r): the MLP's input has no norm; RMS norms, SiLU
  kHuginn,    // N(r + A(N r)), then N(r + M(N r)); RMS norms, SiLU (Geiping et al. 2025)
};

enum class ResidualScaling {
  kNone,
  // N(a r + A(N r)) with a = sqrt(2L), and linear maps whose output is added begin 1 / sqrt(8L)
  // times as large: DeepNorm (Wang et al. 2022) with the powers of layers that share their weights.
  kTiedDepth,
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
  double rms_norm_eps = 1e-6;  // of RMS norms
  BlockStyle block_style = BlockStyle::kGpt2;
  Activation activation = Activation::kGelu;
  Init init = Init::kGpt2;
  ResidualScaling residual_scaling = ResidualScaling::kNone;
  std::optional<double> effective_n_layer;  // unset: n_layer, and what loops add on average
  bool scale_embeddings = false;            // times sqrt(n_embd)

  bool asks_depth() const;  // effective_n_layer acts
};

// Of L layers: of the stream, and of what is added to it.
struct StreamScales {
  double stream = 1, branch = 1;
};
StreamScales stream_scales(double effective_layers);

// Of scores by Init::kTakase: a head's weights against other weights.
double logit_scale(const BackboneConfig& backbone, double effective_layers);

void add_fields(FieldList& list, BackboneConfig& config);

// Throws Error(kUsage) for combinations without a meaning, naming both keys.
void validate(const BackboneConfig& config);

// The plan of a plain model: the stem, and n_layer layers of which the last one answers.
// plan.effective_layers is known.
void apply(const BackboneConfig& section, DepthPlan& plan, Policy& policy);

// What the initialisation asks of the readouts, once all are there.
void scale_logits(const BackboneConfig& section, DepthPlan& plan);

// LMPlay's width without heads: the largest divisor of n_embd that is at most n_head.
int64_t fitting_heads(int64_t n_embd, int64_t n_head);

}  // namespace fathom
