// A GPT's forward pass for one sequence, written once more as plain loops over doubles: what the
// model on tensors must agree with. It shares nothing with it but the parameters' names.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "model/testing.h"

namespace fathom::testing {

class ReferenceGpt {
 public:
  ReferenceGpt(const ModelConfig& config, const LanguageModel& model)
      : c_(config.backbone), model_(model) {}

  // (T, V), row-major.
  std::vector<double> logits(const std::vector<int64_t>& tokens) const {
    const size_t T = tokens.size(), C = width();
    const Rows token_table = parameter("token_table.0.weight");
    const Rows position_table = parameter("position_table.weight");
    Rows r(T * C);
    for (size_t t = 0; t < T; ++t)
      for (size_t c = 0; c < C; ++c)
        r[t * C + c] = token_table[size_t(tokens[t]) * C + c] + position_table[t * C + c];
    for (int64_t i = 0; i < c_.n_layer; ++i) {
      const std::string n = "." + std::to_string(i);
      add(r, linear(attention(linear(norm(r, "norm_in" + n), "attention" + n + ".qkv", C)),
                    "attention" + n + ".out", C));
      Rows hidden = linear(norm(r, "norm_mid" + n), "mlp" + n + ".up", C);
      for (double& h : hidden) h = gelu(h);
      add(r, linear(hidden, "mlp" + n + ".down", 4 * C));
    }
    return linear(norm(r, "norm_out.0"), c_.tie_head ? "token_table.0" : "head.0", C);
  }

 private:
  using Rows = std::vector<double>;

  size_t width() const { return size_t(c_.n_embd); }
  Rows parameter(const std::string& name) const {
    const Tensor tensor = model_.parameters().find(name);
    return tensor.defined() ? numbers(tensor) : Rows();
  }
  static void add(Rows& to, const Rows& from) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }

  Rows linear(const Rows& x, const std::string& name, size_t in) const {
    const Rows weight = parameter(name + ".weight"), bias = parameter(name + ".bias");
    const size_t out = weight.size() / in, rows = x.size() / in;
    Rows y(rows * out);
    for (size_t row = 0; row < rows; ++row)
      for (size_t o = 0; o < out; ++o) {
        double sum = bias.empty() ? 0 : bias[o];
        for (size_t i = 0; i < in; ++i) sum += x[row * in + i] * weight[o * in + i];
        y[row * out + o] = sum;
      }
    return y;
  }

  Rows norm(const Rows& x, const std::string& name) const {
    const Rows weight = parameter(name + ".weight"), bias = parameter(name + ".bias");
    const size_t C = width();
    Rows y(x.size());
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
  Rows attention(const Rows& qkv) const {
    const size_t C = width(), T = qkv.size() / (3 * C), D = C / size_t(c_.n_head);
    Rows out(T * C, 0.0);
    for (size_t first = 0; first < C; first += D)  // of a head's channels
      for (size_t t = 0; t < T; ++t) {
        Rows weight(t + 1);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          double score = 0;
          for (size_t c = first; c < first + D; ++c)
            score += qkv[t * 3 * C + c] * qkv[s * 3 * C + C + c];
          sum += weight[s] = std::exp(score / std::sqrt(double(D)));
        }
        for (size_t s = 0; s <= t; ++s)
          for (size_t c = first; c < first + D; ++c)
            out[t * C + c] += weight[s] / sum * qkv[s * 3 * C + 2 * C + c];
      }
    return out;
  }

  double gelu(double x) const {
    return c_.activation == Activation::kGelu
               ? x / 2 * (1 + std::erf(x / std::sqrt(2.0)))
               : x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  const BackboneConfig c_;
  const LanguageModel& model_;
};

}  // namespace fathom::testing
