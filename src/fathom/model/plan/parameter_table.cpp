#include "fathom/model/plan/parameter_table.h"

#include <fmt/format.h>

#include <cmath>

namespace fathom {
namespace {

constexpr double kInitStd = 0.02;        // GPT-2
constexpr double kBytesPerNumber = 4.0;  // fp32

InitRule normal(double std) {
  return {InitRule::kNormal, std};
}
InitRule zeros() {
  return {InitRule::kZeros, 0};
}
InitRule ones() {
  return {InitRule::kOnes, 0};
}

class Builder {
 public:
  Builder(const BackboneConfig& config, int64_t vocab_size) : c_(config), V_(vocab_size) {}

  std::vector<ParameterSpec> build() {
    const bool gpt2 = c_.init == Init::kGpt2;
    add("token_table.0.weight", {V_, c_.n_embd}, Part::kTokenTable, normal(gpt2 ? kInitStd : 1.0));
    add("position_table.weight", {c_.block_size, c_.n_embd}, Part::kPositionTable,
        gpt2 ? normal(kInitStd) : zeros());
    for (int64_t i = 0; i < c_.n_layer; ++i) block(i);
    norm("norm_out.0");
    if (!c_.tie_head) linear("head.0", V_, c_.n_embd, Part::kHead, c_.head_bias, false);
    return std::move(table_);
  }

 private:
  void block(int64_t i) {
    const int64_t C = c_.n_embd;
    norm(fmt::format("norm_in.{}", i));
    linear(fmt::format("attention.{}.qkv", i), 3 * C, C, Part::kAttention, c_.bias, false);
    linear(fmt::format("attention.{}.out", i), C, C, Part::kAttention, c_.bias, true);
    norm(fmt::format("norm_mid.{}", i));
    linear(fmt::format("mlp.{}.up", i), 4 * C, C, Part::kMlp, c_.bias, false);
    linear(fmt::format("mlp.{}.down", i), C, 4 * C, Part::kMlp, c_.bias, true);
  }

  void norm(const std::string& name) {
    add(name + ".weight", {c_.n_embd}, Part::kNorm, ones());
    if (c_.bias) add(name + ".bias", {c_.n_embd}, Part::kNorm, zeros());
  }

  // `residual`: its output is added to the residual stream, which 2 n_layer of them feed.
  void linear(const std::string& name, int64_t out, int64_t in, Part part, bool bias,
              bool residual) {
    const double depth_scale = residual ? 1 / std::sqrt(2.0 * static_cast<double>(c_.n_layer)) : 1;
    const InitRule uniform = {InitRule::kUniform, 1 / std::sqrt(static_cast<double>(in))};
    const bool gpt2 = c_.init == Init::kGpt2;
    add(name + ".weight", {out, in}, part, gpt2 ? normal(kInitStd * depth_scale) : uniform);
    if (bias) add(name + ".bias", {out}, part, gpt2 ? zeros() : uniform);
  }

  void add(const std::string& name, std::vector<int64_t> shape, Part part, InitRule init) {
    table_.push_back({name, std::move(shape), part, init});
  }

  const BackboneConfig& c_;
  int64_t V_;
  std::vector<ParameterSpec> table_;
};

}  // namespace

const char* part_name(Part part) {
  switch (part) {
    case Part::kTokenTable:
      return "token table";
    case Part::kPositionTable:
      return "position table";
    case Part::kAttention:
      return "attention";
    case Part::kMlp:
      return "MLP";
    case Part::kNorm:
      return "norms";
    case Part::kHead:
      return "head";
  }
  return "";
}

int64_t ParameterSpec::count() const {
  int64_t n = 1;
  for (const int64_t size : shape) n *= size;
  return n;
}

std::vector<ParameterSpec> parameter_table(const ModelConfig& config, int64_t vocab_size) {
  return Builder(config.backbone, vocab_size).build();
}

int64_t parameter_count(const std::vector<ParameterSpec>& table) {
  int64_t n = 0;
  for (const ParameterSpec& spec : table) n += spec.count();
  return n;
}

Flops flops_per_token(const ModelConfig& config, int64_t vocab_size, int64_t T) {
  const auto L = static_cast<double>(config.backbone.n_layer);
  const auto C = static_cast<double>(config.backbone.n_embd);
  Flops flops;
  flops.attention_linear = L * 2 * (3 * C * C + C * C);
  flops.attention_scores = L * 2 * (2 * C * static_cast<double>(T));
  flops.mlp = L * 2 * (8 * C * C);
  flops.head = 2 * C * static_cast<double>(vocab_size);
  return flops;
}

MemoryEstimate training_memory(const ModelConfig& config, int64_t vocab_size, int64_t B,
                               int64_t T) {
  const BackboneConfig& c = config.backbone;
  const auto rows = static_cast<double>(B * T);
  const auto C = static_cast<double>(c.n_embd);
  MemoryEstimate m;
  m.parameters =
      kBytesPerNumber * static_cast<double>(parameter_count(parameter_table(config, vocab_size)));
  m.gradients = m.parameters;
  m.optimizer = 2 * m.parameters;  // AdamW's two moments
  // Per row and block: two norm inputs and outputs (4C), qkv (3C), q k v by head (3C), head outputs
  // (2C), the MLP's hidden layer before and after its activation (8C), and the scores of every head
  // before and after softmax.
  const double per_block = 20 * C + 2 * static_cast<double>(c.n_head * T);
  // Logits, their log-softmax, and its gradient.
  const double readout = 3 * static_cast<double>(vocab_size) + 2 * C;
  m.activations = kBytesPerNumber * rows * (static_cast<double>(c.n_layer) * per_block + readout);
  return m;
}

}  // namespace fathom
