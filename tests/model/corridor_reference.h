// The corridor program once more, as loops over doubles for one sequence. It shares nothing with
// the walk but the parameters' names and the random numbers.
//
// Every function is told which weights it uses, so that gradients with stops can be had from
// differences: what is frozen keeps the weights that are not varied.
#pragma once

#include <map>
#include <optional>

#include "model/corridor_program.h"

namespace fathom::testing {

using Values = std::vector<double>;             // (T, width), row-major
using Weights = std::map<std::string, Values>;  // by parameter name
using Mask = std::vector<bool>;                 // by position

inline Weights weights_of(const NextTokenModel& model) {
  Weights weights;
  for (const Parameter& p : model.parameters().all()) weights[p.spec.name] = numbers(p.tensor);
  return weights;
}

// A sequence on its way.
struct State {
  Values r, y, x0;
};

// ln p of all ids, and who is sure.
struct Scores {
  Values ln_p;  // (T, V)

  double at(size_t t, int64_t id) const { return ln_p[t * kVocab + size_t(id)]; }
  int64_t best(size_t t) const {
    const auto row = ln_p.begin() + int64_t(t) * kVocab;
    return std::max_element(row, row + kVocab) - row;
  }
  double largest(size_t t) const { return at(t, best(t)); }
};

class Reference {
 public:
  // Sequence `b` of the batch and pass that the corridor tests use.
  explicit Reference(int64_t b, const LoopSettings& loop = {}) : loop_(loop) {
    const Tensor row = corridor_batch().tokens_BT.narrow(0, b, 1).contiguous();
    tokens_ = {row.data_ptr<int64_t>(), row.data_ptr<int64_t>() + kLength};
    Batch batch;
    batch.tokens_BT = row;
    xi_ =
        numbers(corridor_random(b).normal("loop.0@0", Rows(batch), kWidth, random_normal({1}, 0)));
    for (double& x : xi_) x *= loop.noise;
  }

  size_t depth() const { return size_t(loop_.count) + 3; }

  State stem(const Weights& w) const {
    State s;
    s.y.assign(kLength * kWidth, 0.0);
    for (size_t t = 0; t < kLength; ++t)
      for (size_t c = 0; c < kWidth; ++c)
        s.r.push_back(w.at("token_table.0.weight")[size_t(tokens_[t]) * kWidth + c] +
                      w.at("position_table.weight")[t * kWidth + c]);
    return s;
  }

  // Step `i` with its injections.
  State step(size_t i, const Weights& w, State s, const Mask& hidden) const {
    const auto K = size_t(loop_.count);
    if (i == 0 || i == K + 1) return pre_norm(w, std::move(s), hidden);
    if (i == K + 2) return recurse(w, std::move(s), hidden);
    if (i == 1) s.x0 = s.r;
    s.r = loop_input(w, s, i == 1);
    for (size_t k = 0; i == 1 && k < s.r.size(); ++k)
      s.r[k] += w.at("token_table.1.weight")[size_t(tokens_[k / kWidth]) * kWidth + k % kWidth];
    s = gated(w, std::move(s), hidden);
    if (i == K) s.x0.clear();
    return s;
  }

  // Through readout 0, 1 or 2.
  Scores read(int readout, const Weights& w, const State& s) const {
    const bool last = readout == 2;
    const std::string head = last ? "head.1" : "head.0";
    Values logits = linear(w, norm(w, s.r, last ? "norm_in.2" : "norm_out.0"), head);
    for (size_t t = 0; t < kLength; ++t) {
      double sum = 0;
      for (size_t v = 0; v < kVocab; ++v) sum += std::exp(logits[t * kVocab + v]);
      for (size_t v = 0; v < kVocab; ++v) logits[t * kVocab + v] -= std::log(sum);
    }
    return {logits};
  }

 private:
  static Values linear(const Weights& w, const Values& x, const std::string& name) {
    const Values &weight = w.at(name + ".weight"), &bias = w.at(name + ".bias");
    const size_t out = bias.size(), in = weight.size() / out;
    Values y;
    for (size_t row = 0; row < x.size() / in; ++row)
      for (size_t o = 0; o < out; ++o) {
        double sum = bias[o];
        for (size_t i = 0; i < in; ++i) sum += weight[o * in + i] * x[row * in + i];
        y.push_back(sum);
      }
    return y;
  }

  static Values norm(const Weights& w, const Values& x, const std::string& name) {
    const Values &weight = w.at(name + ".weight"), &bias = w.at(name + ".bias");
    Values y;
    for (size_t row = 0; row < x.size(); row += kWidth) {
      double mean = 0, square = 0;
      for (size_t c = 0; c < kWidth; ++c) mean += x[row + c] / double(kWidth);
      for (size_t c = 0; c < kWidth; ++c) square += std::pow(x[row + c] - mean, 2) / double(kWidth);
      for (size_t c = 0; c < kWidth; ++c)
        y.push_back((x[row + c] - mean) / std::sqrt(square + 1e-5) * weight[c] + bias[c]);
    }
    return y;
  }

  static Values mlp(const Weights& w, const Values& x, const std::string& name) {
    Values up = linear(w, x, name + ".up");
    for (double& u : up) u = u / 2 * (1 + std::erf(u / std::sqrt(2.0)));
    return linear(w, up, name + ".down");
  }

  // A hidden key is hidden from its own query as well; a query without a key gets zeros.
  static Values attention(const Weights& w, const Values& x, const Values& values,
                          const Mask& hidden, const std::string& name) {
    constexpr size_t D = kWidth / kHeads;
    const Values of_x = linear(w, x, name + ".qkv"), of_v = linear(w, values, name + ".qkv");
    const auto part = [](const Values& qkv, size_t t, size_t which, size_t c) {
      return qkv[t * 3 * kWidth + which * kWidth + c];
    };
    Values heads(kLength * kWidth, 0.0);
    for (size_t t = 0; t < kLength; ++t)
      for (size_t first = 0; first < kWidth; first += D) {
        Values p(t + 1, 0.0);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          if (hidden[s]) continue;
          double score = 0;
          for (size_t c = first; c < first + D; ++c)
            score += part(of_x, t, 0, c) * part(of_x, s, 1, c);
          sum += p[s] = std::exp(score / std::sqrt(double(D)));
        }
        for (size_t s = 0; s <= t && sum > 0; ++s)
          for (size_t c = first; c < first + D; ++c)
            heads[t * kWidth + c] += p[s] / sum * part(of_v, s, 2, c);
      }
    return linear(w, heads, name + ".out");
  }

  State pre_norm(const Weights& w, State s, const Mask& hidden) const {
    const Values before = s.r, n = norm(w, s.r, "norm_in.0");
    add(s.r, attention(w, n, n, hidden, "attention.0"));
    add(s.r, mlp(w, norm(w, s.r, "norm_mid.0"), "mlp.0"));
    s.y = s.r;
    add(s.y, before, -1);
    return s;
  }

  State gated(const Weights& w, State s, const Mask& hidden) const {
    const Values before = s.r, n = norm(w, s.r, "norm_in.1");
    Values source = s.r;
    add(source, s.y);
    const Values t = attention(w, n, source, hidden, "attention.1");
    const Values m = mlp(w, norm(w, s.r, "norm_mid.1"), "mlp.1");
    for (size_t row = 0; row < s.r.size(); row += kWidth) {
      double mean = 0;
      for (size_t c = 0; c < kWidth; ++c) mean += m[row + c] / double(kWidth);
      for (size_t k = row; k < row + kWidth; ++k)
        s.r[k] += t[k] / (1 + std::exp(-mean)) + 0.5 * s.y[k] - t[k] * n[k];
    }
    s.y = s.r;
    add(s.y, before, -1);
    return s;
  }

  State recurse(const Weights& w, State s, const Mask& hidden) const {
    const Values n = norm(w, s.r, "norm_in.2"), m = mlp(w, n, "mlp.2");
    Values source = n;
    add(source, s.y);
    s.y = attention(w, source, source, hidden, "attention.2");
    for (size_t k = 0; k < s.y.size(); ++k) s.y[k] *= m[k];
    add(s.r, s.y, 0.5);
    return s;
  }

  Values loop_input(const Weights& w, const State& s, bool first) const {
    const bool noisy = first && loop_.noise > 0 && loop_.count > 1;
    const Values& state = noisy ? xi_ : s.r;
    if (!loop_.adapter) {
      if (first && !noisy) return s.x0;
      Values sum = s.x0;
      add(sum, state);
      return sum;
    }
    Values both;
    for (size_t t = 0; t < kLength; ++t)
      for (const Values* half : {&s.x0, &state})
        both.insert(both.end(), half->begin() + int64_t(t) * kWidth,
                    half->begin() + int64_t(t + 1) * kWidth);
    return linear(w, both, "adapter.0");
  }

  static void add(Values& to, const Values& from, double factor = 1) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
  }

  LoopSettings loop_;
  std::vector<int64_t> tokens_;
  Values xi_;
};

// A whole walk of one sequence.
struct ReferenceWalk {
  std::vector<State> door, after;  // by step
  std::vector<Mask> hidden;        // by step
  std::vector<Scores> scores;      // by readout
  std::vector<Mask> halts, done;   // by readout: sure here; sure before
};

inline ReferenceWalk reference_walk(const Reference& reference, const Weights& w) {
  ReferenceWalk walk;
  State s = reference.stem(w);
  Mask done(kLength, false);
  for (size_t i = 0; i < reference.depth(); ++i) {
    walk.door.push_back(s);
    walk.hidden.push_back(done);
    s = reference.step(i, w, s, done);
    walk.after.push_back(s);
    if (i > 0 && i + 2 < reference.depth()) continue;
    const double threshold = kThresholds[walk.scores.size()];
    walk.scores.push_back(reference.read(int(walk.scores.size()), w, s));
    walk.done.push_back(done);
    Mask halts(kLength);
    for (size_t t = 0; t < kLength; ++t) {
      halts[t] = std::exp(walk.scores.back().largest(t)) >= threshold;
      done[t] = done[t] || halts[t];
    }
    walk.halts.push_back(halts);
  }
  return walk;
}

// Compares the gradients of the model's parameters with differences of f, which is given the
// parameters that vary. A parameter without a gradient counts as zeros.
inline void expect_gradients_of(const NextTokenModel& model,
                                const std::function<double(const Weights&)>& f, size_t samples = 4,
                                double tolerance = 1e-6) {
  Weights w = weights_of(model);
  for (const Parameter& p : model.parameters().all()) {
    Values& values = w.at(p.spec.name);
    const Values gradient =
        p.tensor.grad().defined() ? numbers(p.tensor.grad()) : Values(values.size(), 0.0);
    for (size_t i = 0; i < values.size(); i += std::max<size_t>(1, values.size() / samples)) {
      const double kept = values[i], h = 3e-4;
      const auto at_offset = [&](double steps) {
        values[i] = kept + steps * h;
        const double value = f(w);
        values[i] = kept;
        return value;
      };
      const double expected =
          (8 * (at_offset(1) - at_offset(-1)) - (at_offset(2) - at_offset(-2))) / (12 * h);
      EXPECT_NEAR(gradient[i], expected, tolerance * std::max(std::abs(expected), 1e-2))
          << p.spec.name << ", entry " << i;
    }
  }
}

}  // namespace fathom::testing
