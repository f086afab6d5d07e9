// Every parameter of a model as data: what `describe` counts, what the engine allocates and
// initialises, what a checkpoint must hold. Torch-free.
//
// Names say which instance of which part a tensor belongs to (`mlp.3.up.weight`); a part that two
// steps share has one instance and therefore one row.
// Shapes: C = n_embd, V = vocabulary, linear weights are (out, in) as in torch.
#pragma once

#include <cstdint>
#include <vector>

#include "fathom/model/spec/part.h"

namespace fathom {

struct ModelConfig;   // model_config.h
struct DepthPlan;     // depth_plan.h
struct DepthProgram;  // depth_program.h

// `vocab_size`: rows of the token tables, already decided by corpus and config. `backbone` gives
// what all layers have in common: biases, initialisation, block_size, and n_layer for the scale of
// the residual projections.
std::vector<ParameterSpec> parameter_table(const DepthPlan& plan, const BackboneConfig& backbone,
                                           int64_t vocab_size);
std::vector<ParameterSpec> parameter_table(const ModelConfig& config, int64_t vocab_size);

int64_t parameter_count(const std::vector<ParameterSpec>& table);

// Of one token in a pass over a full context of T tokens in which every head answers and teaches;
// an experiment's own matrices are not known to the program, only to the configuration.
Flops flops_per_token(const DepthPlan& plan, const DepthProgram& program,
                      const BackboneConfig& backbone, int64_t vocab_size, int64_t T);
// In a training pass, with the heads that are read there (readout_uses) and the gradients that
// there are. Of a configuration whose loops draw their counts: at the mean ones. What a rule reads
// of states besides depends on who is still asked, and is not in it.
Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T);

// Bytes of a training step at fp32: what the plain operations keep for backward, of the largest
// counts that training draws and the heads that are read.
struct MemoryEstimate {
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0;
  double total() const { return parameters + gradients + optimizer + activations; }
};
MemoryEstimate training_memory(const ModelConfig& config, int64_t vocab_size, int64_t B, int64_t T);

}  // namespace fathom
