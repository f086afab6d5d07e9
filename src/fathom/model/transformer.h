// gpt2ish: a stack of pre-norm blocks between a token table and a head, on plain torch operations.
#pragma once

#include <vector>

#include "fathom/model/language_model.h"

namespace fathom {

// Parameters as values: a struct of views that a forward pass is given.
struct LinearParams {
  Tensor weight, bias;  // (out, in), (out) or undefined
};
struct NormParams {
  Tensor weight, bias;  // (C), (C) or undefined
};
struct AttentionParams {
  LinearParams qkv, out;  // (3C, C), (C, C)
};
struct MlpParams {
  LinearParams up, down;  // (4C, C), (C, 4C)
};

class Transformer : public LanguageModel {
 public:
  Transformer(const ModelConfig& config, ParameterSet parameters);

  ModelOutput forward(const Batch& batch, const Pass& pass) const override;
  std::map<std::string, double> known_counts(const Batch& batch) const override;
  Tensor logits(const Tensor& tokens_BT) const override;

 private:
  struct Layer {
    NormParams norm_in, norm_mid;
    AttentionParams attention;
    MlpParams mlp;
  };
  LinearParams linear_params(const std::string& name) const;
  NormParams norm_params(const std::string& name) const;
  Tensor hidden(const Tensor& tokens_BT, const Pass& pass) const;  // after the last norm, (B, T, C)
  Tensor block(const Tensor& r_BTC, int64_t i, const Pass& pass) const;
  Tensor norm(const Tensor& x_BTC, const NormParams& params) const;

  BackboneConfig config_;
  Tensor token_table_, position_table_;  // (V, C), (block_size, C)
  std::vector<Layer> layers_;
  NormParams norm_out_;
  LinearParams head_;  // (V, C); the token table itself if tied
};

}  // namespace fathom
