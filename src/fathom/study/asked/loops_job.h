// Of what texts, and of what counts, a trained model's loops are looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/study/asked/model_choice.h"

namespace fathom {

struct LoopsJob {
  ModelChoice model;
  std::string dataset;  // empty: the one it was trained on
  std::string split = "val";
  std::optional<std::string> text;   // in place of the split's
  std::vector<std::string> prompts;  // the same, several; empty: none
  int64_t texts = 1;                 // of the split
  std::optional<int64_t> tokens;     // of a text; unset: 64 of a split, else all
  std::vector<int64_t> counts;       // ascending; trajectories are of the last one
  int64_t components = 2, zoom = 15;
  bool box_pca = false;  // box-counting dimensions on the principal axes too
  bool token_pictures = false;
  bool jacobian = false, block_only = false;
  int64_t jacobian_tokens = 4;
  std::vector<int64_t> jacobian_iterations;  // ascending; empty: those that tables show
  std::optional<int64_t> seeds;              // unset: 4 where loops begin with noise, else 1
  std::optional<double> noise;               // loop_noise_scale in place of the model's
  std::vector<double> sweep;  // thresholds; empty: texts are not scored token by token
  std::string rule;           // of the sweep, settled where there is one
  bool weights = false;
};

// The model's settings with its loops' first states drawn so wide in evaluation too; unset: as they
// are.
ModelConfig with_noise(const ModelConfig& model, std::optional<double> scale);
// The model's settings with its loops' rule and threshold.
ModelConfig with_loop_rule(const ModelConfig& model, const std::string& rule, double threshold);

// The rule that the model's loops have; rel_latent where they have none.
std::string loop_rule_of(const ModelConfig& model);

}  // namespace fathom
