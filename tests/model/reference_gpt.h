// A GPT's forward pass for one sequence, written once more as plain loops over doubles: what the
// model on tensors must agree with. It shares nothing with it but the parameters' names.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "fathom/model/walk/rows.h"
#include "model/testing.h"

namespace fathom::testing {

class ReferenceGpt {
 public:
  // Dropout of `field` at its four sites; none: evaluation.
  ReferenceGpt(const ModelConfig& config, const NextTokenModel& model,
               std::optional<RandomField> field = {})
      : c_(config.backbone), model_(model), field_(field) {}

  // (T, V), row-major.
  std::vector<double> logits(const std::vector<int64_t>& tokens) const {
    const size_t T = tokens.size(), C = width();
    const Values token_table = parameter("token_table.0.weight");
    const Values position_table = parameter("position_table.weight");
    Values r(T * C);
    for (size_t t = 0; t < T; ++t)
      for (size_t c = 0; c < C; ++c)
        r[t * C + c] = token_table[size_t(tokens[t]) * C + c] + position_table[t * C + c];
    drop(r, "embedding", c_.embed_dropout);
    for (int64_t i = 0; i < c_.n_layer; ++i) {
      const std::string n = "." + std::to_string(i);
      const Values heads =
          attention(linear(norm(r, "norm_in" + n), "attention" + n + ".qkv", C), n);
      Values branch = linear(heads, "attention" + n + ".out", C);
      drop(branch, "attention_out" + n, c_.residual_dropout);
      add(r, branch);
      Values hidden = linear(norm(r, "norm_mid" + n), "mlp" + n + ".up", C);
      for (double& h : hidden) h = gelu(h);
      branch = linear(hidden, "mlp" + n + ".down", 4 * C);
      drop(branch, "mlp_out" + n + ".0", c_.residual_dropout);
      add(r, branch);
    }
    return linear(norm(r, "norm_out.0"), c_.tie_head ? "token_table.0" : "head.0", C);
  }

 private:
  using Values = std::vector<double>;

  size_t width() const { return size_t(c_.n_embd); }
  Values parameter(const std::string& name) const {
    const Tensor tensor = model_.parameters().find(name);
    return tensor.defined() ? numbers(tensor) : Values();
  }
  static void add(Values& to, const Values& from) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }

  // Multipliers (T, width) of a site; empty: no dropout.
  Values multipliers(const std::string& site, const std::optional<double>& own, size_t T,
                     size_t width) const {
    const double p = field_ ? own.value_or(c_.dropout) : 0;
    if (p == 0) return {};
    const Rows rows(batch_of(random_tokens({1, int64_t(T)}, 1, 0), {}));
    return numbers(field_->dropout(site, p, rows, int64_t(width), random_normal({1}, 0)));
  }
  // x (T, C)
  void drop(Values& x, const std::string& site, const std::optional<double>& own) const {
    const Values m = multipliers(site, own, x.size() / width(), width());
    for (size_t i = 0; i < m.size(); ++i) x[i] *= m[i];
  }

  Values linear(const Values& x, const std::string& name, size_t in) const {
    const Values weight = parameter(name + ".weight"), bias = parameter(name + ".bias");
    const size_t out = weight.size() / in, rows = x.size() / in;
    Values y(rows * out);
    for (size_t row = 0; row < rows; ++row)
      for (size_t o = 0; o < out; ++o) {
        double sum = bias.empty() ? 0 : bias[o];
        for (size_t i = 0; i < in; ++i) sum += x[row * in + i] * weight[o * in + i];
        y[row * out + o] = sum;
      }
    return y;
  }

  Values norm(const Values& x, const std::string& name) const {
    const Values weight = parameter(name + ".weight"), bias = parameter(name + ".bias");
    const size_t C = width();
    Values y(x.size());
    for (size_t row = 0; row < x.size() / C; ++row) {
      double mean = 0, variance = 0;
      for (size_t c = 0; c < C; ++c) mean += x[row * C + c];
      mean /= double(C);
      for (size_t c = 0; c < C; ++c) variance += std::pow(x[row * C + c] - mean, 2);
      const double scale = 1 / std::sqrt(variance / double(C) + c_.norm_eps);
      for (size_t c = 0; c < C; ++c)
        y[row * C + c] = (x[row * C + c] - mean) * scale * weight[c] + (bias.empty() ? 0 : bias[c]);
    }
    return y;
  }

  // qkv (T, 3C) -> (T, C)
  Values attention(const Values& qkv, const std::string& n) const {
    const size_t C = width(), T = qkv.size() / (3 * C), H = size_t(c_.n_head), D = C / H;
    Values weights(H * T * T, 0.0);
    for (size_t h = 0; h < H; ++h)
      for (size_t t = 0; t < T; ++t) {
        double* row = &weights[(h * T + t) * T];
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          double score = 0;
          for (size_t c = h * D; c < (h + 1) * D; ++c)
            score += qkv[t * 3 * C + c] * qkv[s * 3 * C + C + c];
          sum += row[s] = std::exp(score / std::sqrt(double(D)));
        }
        for (size_t s = 0; s <= t; ++s) row[s] /= sum;
      }
    // A query's draws: block_size keys of the first head, of the second, ...
    const size_t span = size_t(c_.block_size);
    const Values m = multipliers("attention_weights" + n, c_.attn_dropout, T, H * span);
    if (!m.empty())
      for (size_t h = 0; h < H; ++h)
        for (size_t t = 0; t < T; ++t)
          for (size_t s = 0; s <= t; ++s) weights[(h * T + t) * T + s] *= m[(t * H + h) * span + s];
    Values out(T * C, 0.0);
    for (size_t t = 0; t < T; ++t)
      for (size_t s = 0; s <= t; ++s)
        for (size_t c = 0; c < C; ++c)
          out[t * C + c] += weights[(c / D * T + t) * T + s] * qkv[s * 3 * C + 2 * C + c];
    return out;
  }

  double gelu(double x) const {
    return c_.activation == Activation::kGelu
               ? x / 2 * (1 + std::erf(x / std::sqrt(2.0)))
               : x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  const BackboneConfig c_;
  const NextTokenModel& model_;
  const std::optional<RandomField> field_;
};

}  // namespace fathom::testing
