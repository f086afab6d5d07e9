// The optimisers as the textbooks have them: plain loops in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "fathom/train/optimizer.h"
#include "model/testing.h"

namespace fathom::testing {

using Numbers = std::vector<double>;

// Two of Muon's matrices, a tall one and a wide one, a table and a vector.
inline std::vector<ParameterSpec> four_parameters() {
  const InitRule normal = {InitRule::kNormal, 1.0};
  return {{"mlp.0.up.weight", {5, 3}, Part::kMlp, normal},
          {"attention.0.out.weight", {3, 4}, Part::kAttention, normal},
          {"token_table.0.weight", {3, 2}, Part::kTokenTable, normal},
          {"norm_in.0.weight", {4}, Part::kNorm, normal}};
}

// Like none of the defaults.
inline OptimizerConfig settings(const std::string& optimizer) {
  OptimizerConfig c;
  c.optimizer = optimizer;
  c.weight_decay = 0.3;
  c.beta1 = 0.8;
  c.beta2 = 0.7;
  c.adam_eps = 0.05;
  c.momentum = 0.6;
  c.rmsprop_alpha = 0.75;
  c.learning_rate = 0.2;
  c.muon_lr = 0.05;
  c.muon_momentum = 0.85;
  c.muon_ns_steps = 3;
  return c;
}

// X -> aX + (bXX' + c(XX')^2)X, of a matrix with no more rows than columns, by loops.
inline Numbers newton_schulz(Numbers g, size_t rows, size_t columns, int64_t steps) {
  const bool tall = rows > columns;
  const auto turned = [](const Numbers& x, size_t r, size_t c) {
    Numbers t(x.size());
    for (size_t i = 0; i < r; ++i)
      for (size_t j = 0; j < c; ++j) t[j * r + i] = x[i * c + j];
    return t;
  };
  const auto times = [](const Numbers& x, const Numbers& y, size_t r, size_t inner, size_t c) {
    Numbers p(r * c);
    for (size_t i = 0; i < r; ++i)
      for (size_t j = 0; j < c; ++j)
        for (size_t k = 0; k < inner; ++k) p[i * c + j] += x[i * inner + k] * y[k * c + j];
    return p;
  };
  Numbers x = tall ? turned(g, rows, columns) : g;
  const size_t r = std::min(rows, columns), c = std::max(rows, columns);
  double squares = 0;
  for (const double v : x) squares += v * v;
  for (double& v : x) v /= std::sqrt(squares) + 1e-7;
  for (int64_t n = 0; n < steps; ++n) {
    const Numbers a = times(x, turned(x, r, c), r, c, r), aa = times(a, a, r, r, r);
    const Numbers ax = times(a, x, r, r, c), aax = times(aa, x, r, r, c);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] - 4.7750 * ax[i] + 2.0315 * aax[i];
  }
  return tall ? turned(x, r, c) : x;
}

// One parameter and what is kept of it, as the textbooks have it.
struct Textbook {
  OptimizerConfig c;
  ParameterSpec spec;
  bool decays;
  Numbers w;
  std::map<std::string, Numbers> kept = {};
  int n = 0;
  Numbers x = {}, z = {};  // of schedule-free AdamW
  double weights = 0;

  Numbers& state(const std::string& name) {
    Numbers& s = kept[name];
    s.resize(w.size());
    return s;
  }
  double decay() const { return decays ? c.weight_decay : 0; }

  void step(Numbers g, double lr) {
    ++n;
    const bool is_matrix = spec.part == Part::kMlp || spec.part == Part::kAttention;
    if (c.optimizer == "adamw") adamw(g, lr);
    if (c.optimizer == "muon") is_matrix ? muon(g, lr) : adamw(g, lr);
    if (c.optimizer == "schedule_free_adamw") schedule_free(g, lr);
    for (size_t i = 0; i < w.size(); ++i) g[i] += decay() * w[i];
    if (c.optimizer == "adam") adam(g, lr);
    for (size_t i = 0; i < w.size(); ++i) {
      if (c.optimizer == "adagrad") {
        double& sum = state("sum")[i];
        sum += g[i] * g[i];
        w[i] -= lr * g[i] / (std::sqrt(sum) + c.adam_eps);
      }
      if (c.optimizer == "sgd") {
        double& buffer = state("buffer")[i];
        buffer = n == 1 ? g[i] : c.momentum * buffer + g[i];
        w[i] -= lr * buffer;
      }
      if (c.optimizer == "rmsprop") {
        double& average = state("square_avg")[i];
        average = c.rmsprop_alpha * average + (1 - c.rmsprop_alpha) * g[i] * g[i];
        w[i] -= lr * g[i] / (std::sqrt(average) + c.adam_eps);
      }
    }
  }
  void adam(const Numbers& g, double lr) {
    for (size_t i = 0; i < w.size(); ++i) {
      double &m = state("m")[i], &v = state("v")[i];
      m = c.beta1 * m + (1 - c.beta1) * g[i];
      v = c.beta2 * v + (1 - c.beta2) * g[i] * g[i];
      const double m_hat = m / (1 - std::pow(c.beta1, n)), v_hat = v / (1 - std::pow(c.beta2, n));
      w[i] -= lr * m_hat / (std::sqrt(v_hat) + c.adam_eps);
    }
  }
  void adamw(const Numbers& g, double lr) {
    for (double& x_i : w) x_i -= lr * decay() * x_i;
    adam(g, lr);
  }
  void muon(const Numbers& g, double lr) {
    Numbers& m = state("buffer");
    Numbers ahead(g.size());
    for (size_t i = 0; i < g.size(); ++i) {
      m[i] += (1 - c.muon_momentum) * (g[i] - m[i]);
      ahead[i] = c.muon_nesterov ? c.muon_momentum * m[i] + (1 - c.muon_momentum) * g[i] : m[i];
    }
    const auto rows = size_t(spec.shape[0]), columns = size_t(spec.shape[1]);
    const Numbers direction = newton_schulz(ahead, rows, columns, c.muon_ns_steps);
    const double rate = lr / c.learning_rate * c.muon_lr;
    const double scale = rows > columns ? std::sqrt(double(rows) / double(columns)) : 1;
    for (size_t i = 0; i < w.size(); ++i)
      w[i] = w[i] * (1 - rate * decay()) - rate * scale * direction[i];
  }
  void schedule_free(const Numbers& g, double lr) {
    if (n == 1) x = z = w;
    const double gamma = lr * std::sqrt(1 - std::pow(c.beta2, n));
    weights += gamma * gamma;
    for (size_t i = 0; i < w.size(); ++i) {
      double& v = state("v")[i];
      v = c.beta2 * v + (1 - c.beta2) * g[i] * g[i];
      z[i] -= gamma * (g[i] / (std::sqrt(v) + c.adam_eps) + decay() * w[i]);
      const double share = gamma * gamma / weights;
      x[i] = (1 - share) * x[i] + share * z[i];
      w[i] = (1 - c.beta1) * z[i] + c.beta1 * x[i];
    }
    kept["z"] = z;
    kept["y"] = x;  // while the parameter is y
    kept["weight_sum"] = {weights};
  }
};

}  // namespace fathom::testing
