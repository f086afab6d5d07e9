// Numbers that must not reach the weights: found before the update is made, and kept for inquiry.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/model/model.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom {

struct Trouble {
  std::string what;  // a sentence without its full stop
  bool in_weights = false;
};

// The first number that is not finite, nothing if all are.
std::optional<Trouble> find_trouble_in_weights(const Model& model);
// Of weights that were read from `folder`: throws where there is one.
void require_finite_weights(const Model& model, const std::string& folder, const std::string& hint);
// Among a step's loss, its gradients and the weights. `passes`: forward passes made so far, to say
// which one the loss came from.
std::optional<Trouble> find_trouble(const Model& model, double loss, double gradient_norm,
                                    size_t passes);

// Throws Error that names the parameters, frozen ones left out, without a gradient or with one that
// is zero everywhere: the loss does not reach them.
void check_every_gradient(const Model& model);

// Writes the step's batches, every column that is there (I64, numbers with a fraction F32;
// "pass.i.tokens", "pass.i.targets", ...), with what was wrong as metadata to
// `<run folder>/bad-step-<step>.safetensors`, where the first step is 1. Returns where the batch
// is, to complete "the batch is in"; never throws: a failing disk must not hide the trouble itself.
std::string dump_batch(const std::string& run_folder, const RunState& state,
                       const std::vector<Batch>& batches, const std::string& what);

}  // namespace fathom
