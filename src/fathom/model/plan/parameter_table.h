// Every parameter of a model as data: what `describe` counts, what the engine allocates and
// initialises, what a checkpoint must hold. Torch-free.
//
// Names say which instance of which part a tensor belongs to (`mlp.3.up.weight`); a part that two
// steps share has one instance and therefore one row.
// Shapes: C = n_embd, V = vocabulary, linear weights are (out, in) as in torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/plan/depth_plan.h"

namespace fathom {

enum class Part {
  kTokenTable,
  kPositionTable,
  kGate,
  kAdapter,
  kAttention,
  kMlp,
  kNorm,
  kHead,
  kOwn,  // an experiment's
};
const char* part_name(Part part);

struct InitRule {
  enum Kind { kZeros, kOnes, kNormal, kUniform } kind;
  double scale = 0;  // standard deviation, or half the width of the interval around 0
};

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Part part;
  InitRule init;
  std::optional<bool> decays = {};  // unset: decay_rule says it by part and shape

  int64_t count() const;
};

InitRule normal_init(double standard_deviation);
InitRule zeros_init();
InitRule ones_init();
// Of a linear's weight with `in` inputs, by the backbone's `init`. `residual`: its output is added
// to the residual stream, which 2 n_layer of them feed.
InitRule linear_init(const BackboneConfig& backbone, int64_t in, bool residual = false);

// `vocab_size`: rows of the token tables, already decided by corpus and config. `backbone` gives
// what all layers have in common: biases, initialisation, block_size, and n_layer for the scale of
// the residual projections.
std::vector<ParameterSpec> parameter_table(const DepthPlan& plan, const BackboneConfig& backbone,
                                           int64_t vocab_size);
std::vector<ParameterSpec> parameter_table(const ModelConfig& config, int64_t vocab_size);

int64_t parameter_count(const std::vector<ParameterSpec>& table);

// Multiplications and additions (2 per multiply-add) of one token in a forward pass over a full
// context of T tokens, by part. Attention scores are counted dense over the context or a step's
// window, as in Chowdhery et al. 2022 (PaLM), appendix B; norms and activations are not counted.
struct Flops {
  double attention_linear = 0;
  double attention_scores = 0;
  double mlp = 0;
  double head = 0;
  double doors = 0;  // gates and adapters
  double own = 0;    // an experiment's matrices, as if each were used once a token

  double forward() const { return attention_linear + attention_scores + mlp + head + doors + own; }
  double training() const { return 3 * forward(); }  // backward is twice the forward
};
Flops flops_per_token(const DepthPlan& plan, const DepthProgram& program, int64_t vocab_size,
                      int64_t T);
Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T);

// Bytes of a training step at fp32: what the plain operations keep for backward.
struct MemoryEstimate {
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0;
  double total() const { return parameters + gradients + optimizer + activations; }
};
MemoryEstimate training_memory(const ModelConfig& config, int64_t vocab_size, int64_t B, int64_t T);

}  // namespace fathom
