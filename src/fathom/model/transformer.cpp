#include "fathom/model/transformer.h"

#include <ATen/ops/embedding.h>
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/ops/plain.h"

namespace fathom {

Transformer::Transformer(const ModelConfig& config, ParameterSet parameters)
    : LanguageModel(std::move(parameters)), config_(config.backbone) {
  token_table_ = parameters_.at("token_table.0.weight");
  position_table_ = parameters_.at("position_table.weight");
  for (int64_t i = 0; i < config_.n_layer; ++i) {
    layers_.push_back({norm_params(fmt::format("norm_in.{}", i)),
                       norm_params(fmt::format("norm_mid.{}", i)),
                       {linear_params(fmt::format("attention.{}.qkv", i)),
                        linear_params(fmt::format("attention.{}.out", i))},
                       {linear_params(fmt::format("mlp.{}.up", i)),
                        linear_params(fmt::format("mlp.{}.down", i))}});
  }
  norm_out_ = norm_params("norm_out.0");
  head_ = config_.tie_head ? LinearParams{token_table_, {}} : linear_params("head.0");
}

LinearParams Transformer::linear_params(const std::string& name) const {
  return {parameters_.at(name + ".weight"), parameters_.find(name + ".bias")};
}

NormParams Transformer::norm_params(const std::string& name) const {
  return {parameters_.at(name + ".weight"), parameters_.find(name + ".bias")};
}

Tensor Transformer::norm(const Tensor& x_BTC, const NormParams& params) const {
  return layer_norm(x_BTC, params.weight, params.bias, config_.norm_eps);
}

// r = r + attention(norm(r)), then r = r + mlp(norm(r)).
Tensor Transformer::block(const Tensor& r_BTC, int64_t i, const Pass& pass) const {
  const Layer& layer = layers_[static_cast<size_t>(i)];
  const auto dropout = [&](const char* site, const std::optional<double>& p) {
    const double rate = pass.training ? p.value_or(config_.dropout) : 0.0;
    return pass.random.dropout(fmt::format("{}.{}", site, i), rate);
  };

  const Tensor qkv =
      linear(norm(r_BTC, layer.norm_in), layer.attention.qkv.weight, layer.attention.qkv.bias);
  const std::vector<Tensor> q_k_v = qkv.chunk(3, -1);
  const Tensor heads_BTC = causal_attention(q_k_v[0], q_k_v[1], q_k_v[2], config_.n_head,
                                            dropout("attention_weights", config_.attn_dropout));
  const Tensor a_BTC = linear(heads_BTC, layer.attention.out.weight, layer.attention.out.bias);
  const Tensor u_BTC =
      r_BTC + apply_dropout(a_BTC, dropout("attention_out", config_.residual_dropout));

  const auto form = config_.activation == Activation::kGelu ? GeluForm::kExact : GeluForm::kTanh;
  const Tensor up = linear(norm(u_BTC, layer.norm_mid), layer.mlp.up.weight, layer.mlp.up.bias);
  const Tensor m_BTC = linear(gelu(up, form), layer.mlp.down.weight, layer.mlp.down.bias);
  return u_BTC + apply_dropout(m_BTC, dropout("mlp_out", config_.residual_dropout));
}

Tensor Transformer::hidden(const Tensor& tokens_BT, const Pass& pass) const {
  const int64_t T = tokens_BT.size(1);
  if (T > config_.block_size)
    fail(fmt::format("{} positions do not fit block_size = {}", T, config_.block_size));
  const double p = pass.training ? config_.embed_dropout.value_or(config_.dropout) : 0.0;
  Tensor r_BTC = at::embedding(token_table_, tokens_BT) + position_table_.narrow(0, 0, T);
  r_BTC = apply_dropout(r_BTC, pass.random.dropout("embedding", p));
  for (int64_t i = 0; i < config_.n_layer; ++i) r_BTC = block(r_BTC, i, pass);
  return norm(r_BTC, norm_out_);
}

Tensor Transformer::logits(const Tensor& tokens_BT) const {
  return linear(hidden(tokens_BT, {}), head_.weight, head_.bias);
}

ModelOutput Transformer::forward(const Batch& batch, const Pass& pass) const {
  const Tensor logits_BTV = linear(hidden(batch.tokens_BT, pass), head_.weight, head_.bias);
  const Tensor sum = cross_entropy(logits_BTV, batch.targets_BT).sum();
  return {{{"loss", sum, known_counts(batch).at("loss")}}, {}};
}

std::map<std::string, double> Transformer::known_counts(const Batch& batch) const {
  return {{"loss", batch.targets_BT.ne(-1).sum().item<double>()}};
}

std::unique_ptr<LanguageModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          uint64_t seed, at::Device device, at::ScalarType dtype) {
  return std::make_unique<Transformer>(
      config, ParameterSet(parameter_table(config, vocab_size), seed, device, dtype));
}

}  // namespace fathom
